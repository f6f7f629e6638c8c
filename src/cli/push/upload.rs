//! What is delivered: a file that is the same at every attempt.

use crate::cli::Failure;
use crate::cli::progress::{self, Sending};
use futures_util::stream;
use reqwest::Body;
use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read at a time.
const PIECE: u64 = 64 * 1024;
/// How compressed files begin. A line of JSON begins with none of these.
const ENCODINGS: [(&str, &[u8]); 2] = [("gzip", &[0x1F, 0x8B]), ("zstd", &[0x28, 0xB5, 0x2F, 0xFD])];

/// An open file, which is sent as it is.
pub struct Upload {
    file: Arc<File>,
    length: u64,
    encoding: Option<&'static str>,
}

impl Upload {
    /// Opens a file. What can be read only once, such as standard input (`-`), is spooled to a temporary file
    /// that has no name and that only its owner can read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let opened = match path == Path::new("-") {
            true => spool_shown(io::stdin().lock(), "standard input")?,
            false => File::open(path).and_then(|file| match file.metadata()?.is_file() {
                true => Ok(file),
                false => spool(file),
            }),
        };
        opened
            .and_then(Self::of)
            .map_err(|cause| Failure::Refused(format!("{} cannot be read: {cause}", path.display())))
    }

    fn of(file: File) -> io::Result<Self> {
        Ok(Self {
            length: file.metadata()?.len(),
            encoding: encoding(&file)?,
            file: Arc::new(file),
        })
    }

    /// Number of bytes to send.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// For the header `Content-Encoding`.
    pub fn encoding(&self) -> Option<&'static str> {
        self.encoding
    }

    /// The file as a body, from its beginning; `sent` and the progress tell how far it has come.
    pub fn body(&self, sent: Arc<AtomicU64>, progress: Sending) -> Body {
        let (file, length) = (Arc::clone(&self.file), self.length);
        // Each attempt reads with an offset of its own, since the one before may still hold the file.
        Body::wrap_stream(stream::try_unfold(0, move |offset| {
            let (file, sent, progress) = (Arc::clone(&file), Arc::clone(&sent), progress.clone());
            async move {
                let piece = read(file, offset, length).await?;
                let offset = offset + piece.len() as u64;
                sent.store(offset, Ordering::Relaxed);
                progress.reached(offset);
                Ok::<_, io::Error>((!piece.is_empty()).then_some((piece, offset)))
            }
        }))
    }
}

/// The next piece; empty at the end.
async fn read(file: Arc<File>, offset: u64, end: u64) -> io::Result<Vec<u8>> {
    let read = move || {
        let mut piece = vec![0; end.saturating_sub(offset).min(PIECE) as usize];
        let count = file.read_at(&mut piece, offset)?;
        piece.truncate(count);
        Ok(piece)
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(io::Error::other)?
}

/// The same, telling how much has come: who sends it may take long.
fn spool_shown(from: impl Read, what: &'static str) -> Result<io::Result<File>, Failure> {
    let taken = progress::taken(what)?;
    let spooled = spool(taken.wrap_read(from));
    taken.finish_and_clear();
    Ok(spooled)
}

fn spool(mut from: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    io::copy(&mut from, &mut file)?;
    Ok(file)
}

fn encoding(file: &File) -> io::Result<Option<&'static str>> {
    let mut head = [0; 4];
    let count = file.read_at(&mut head, 0)?;
    let found = ENCODINGS
        .iter()
        .find(|(_, magic)| head[..count].starts_with(magic));
    Ok(found.map(|(name, _)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_how_it_begins() {
        let encoding_of = |content: &[u8]| {
            let spooled = spool(content).unwrap();
            encoding(&spooled).unwrap()
        };
        assert_eq!(encoding_of(b""), None);
        assert_eq!(encoding_of(b"{}\n"), None);
        assert_eq!(encoding_of(&[0x1F]), None);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, b"{}\n").unwrap();
        assert_eq!(encoding_of(&gzip.finish().unwrap()), Some("gzip"));
        assert_eq!(
            encoding_of(&zstd::encode_all(&b"{}\n"[..], 1).unwrap()),
            Some("zstd")
        );
    }

    #[test]
    fn what_is_spooled_is_its_owners_alone_and_has_no_name() {
        use std::os::unix::fs::MetadataExt;
        let metadata = spool(&b"line"[..]).unwrap().metadata().unwrap();
        assert_eq!(
            (metadata.len(), metadata.nlink(), metadata.mode() & 0o777),
            (4, 0, 0o600)
        );
    }
}
