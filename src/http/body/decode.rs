//! Compressed bodies.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// Largest window of a zstd body, as a power of two: 32 MiB, what `zstd --ultra -22` uses is more.
const MAX_ZSTD_WINDOW_LOG: u32 = 25;
/// Bytes by which a format is known.
const MAGIC_BYTES: usize = 4;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// Of `Content-Encoding`; `x-gzip` is an older name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn begins(self, magic: &[u8]) -> bool {
        match self {
            Self::Identity => true,
            Self::Gzip => magic.starts_with(&[0x1f, 0x8b]),
            Self::Zstd => is_zstd(magic),
        }
    }
}

/// A frame, or one to be skipped.
fn is_zstd(magic: &[u8]) -> bool {
    matches!(
        magic,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
    )
}

/// The format of bytes that are compressed, or of an archive.
fn compressed(magic: &[u8]) -> Option<&'static str> {
    match magic {
        [0x1f, 0x8b, ..] => Some("gzip"),
        _ if is_zstd(magic) => Some("zstd"),
        [b'P', b'K', 3, 4] => Some("ZIP"),
        [b'B', b'Z', b'h', _] => Some("bzip2"),
        [0xfd, b'7', b'z', b'X'] => Some("xz"),
        _ => None,
    }
}

/// Why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Undecoded {
    #[error("The body is not compressed in the way that Content-Encoding says.")]
    NotCompressed,
    #[error("The body is {0}, and Content-Encoding does not say so.")]
    Undeclared(&'static str),
    #[error("The body ends before what is compressed in it does.")]
    CutShort,
    #[error("The body goes on after its last gzip member with what is neither another one nor zeros.")]
    AfterEnd,
    #[error("The body needs a window of more than 32 MiB; compress it with --long=25 or less.")]
    Window,
    #[error("The body is compressed with a dictionary, which is not known here; compress it without one.")]
    Dictionary,
    #[error("The compressed body is damaged.")]
    Damaged,
}

/// The library names its errors by texts alone.
impl From<io::Error> for Undecoded {
    fn from(cause: io::Error) -> Self {
        match cause.downcast::<Self>() {
            Ok(undecoded) => undecoded,
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Self::CutShort,
            Err(cause) => match cause.to_string() {
                text if text.contains("too much memory") => Self::Window,
                text if text.contains("ictionary") => Self::Dictionary,
                _ => Self::Damaged,
            },
        }
    }
}

/// What a body decodes to.
pub(super) fn decoder<'r>(
    mut body: impl Read + 'r,
    encoding: Encoding,
) -> Result<Box<dyn Read + 'r>, Undecoded> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    body.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
    if !encoding.begins(&magic) {
        return Err(Undecoded::NotCompressed);
    }
    if let (Encoding::Identity, Some(format)) = (encoding, compressed(&magic)) {
        return Err(Undecoded::Undeclared(format));
    }
    let body = Cursor::new(magic).chain(body);
    Ok(match encoding {
        Encoding::Identity => Box::new(body),
        Encoding::Gzip => Box::new(GzipMembers(Some(GzDecoder::new(BufReader::new(body))))),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(body)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

/// gzip members one after the other, and zeros after the last, as some tools pad with.
struct GzipMembers<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.0 = match self.0.take().map(GzDecoder::into_inner) {
                Some(input) => next_member(input)?,
                None => None,
            };
        }
        Ok(0)
    }
}

fn next_member<R: BufRead>(mut input: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        match bytes.get(zeros) {
            Some(0x1f) => {
                input.consume(zeros);
                return Ok(Some(GzDecoder::new(input)));
            }
            Some(_) => return Err(io::Error::other(Undecoded::AfterEnd)),
            None if bytes.is_empty() => return Ok(None),
            None => input.consume(zeros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::GzEncoder;

    fn decoded(body: &[u8], encoding: Encoding) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let read = decoder(body, encoding).and_then(|mut input| Ok(input.read_to_end(&mut out)?));
        read.map(|_| out).map_err(|cause| format!("{cause:?}"))
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        GzEncoder::new(text, Compression::default())
            .read_to_end(&mut out)
            .unwrap();
        out
    }

    #[test]
    fn gzip_may_have_several_members_and_zeros() {
        let whole = [gzip(b"one,"), gzip(b""), gzip(b"two"), vec![0; 70_000]].concat();
        assert_eq!(decoded(&whole, Encoding::Gzip), Ok(b"one,two".to_vec()));
        let padded = [gzip(b"one,"), vec![0; 512], gzip(b"two")].concat();
        assert_eq!(decoded(&padded, Encoding::Gzip), Ok(b"one,two".to_vec()));
    }

    #[test]
    fn zstd_may_have_several_frames_and_some_to_skip() {
        let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frame = |text: &[u8]| zstd::encode_all(text, 3).unwrap();
        let whole = [
            skipped.clone(),
            frame(b"one,"),
            skipped.clone(),
            frame(b"two"),
            skipped,
        ]
        .concat();
        assert_eq!(decoded(&whole, Encoding::Zstd), Ok(b"one,two".to_vec()));
    }

    #[test]
    fn what_is_not_taken_is_told_by_its_reason() {
        let text = b"some text that is long enough to be compressed, and compressed again".repeat(20);
        let (gzipped, zstandard) = (gzip(&text), zstd::encode_all(&text[..], 3).unwrap());
        let mut flipped = gzipped.clone();
        *flipped.iter_mut().rev().nth(5).unwrap() ^= 1;
        // A header of a frame with a window of 2 GiB.
        let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        // A header that names dictionary 5.
        let with_dictionary = [0x28, 0xb5, 0x2f, 0xfd, 0x01, 0x58, 0x05, 0x01, 0x00, 0x00];
        for (body, encoding, reason) in [
            (b"{\"a\":1}".to_vec(), Encoding::Gzip, "NotCompressed"),
            (b"{".to_vec(), Encoding::Zstd, "NotCompressed"),
            (zstandard.clone(), Encoding::Gzip, "NotCompressed"),
            (gzipped.clone(), Encoding::Identity, "Undeclared(\"gzip\")"),
            (zstandard.clone(), Encoding::Identity, "Undeclared(\"zstd\")"),
            (
                b"PK\x03\x04...".to_vec(),
                Encoding::Identity,
                "Undeclared(\"ZIP\")",
            ),
            (gzipped[..gzipped.len() - 3].to_vec(), Encoding::Gzip, "CutShort"),
            (gzipped[..20].to_vec(), Encoding::Gzip, "CutShort"),
            (
                zstandard[..zstandard.len() - 3].to_vec(),
                Encoding::Zstd,
                "CutShort",
            ),
            (flipped, Encoding::Gzip, "Damaged"),
            ([gzipped, b"x".to_vec()].concat(), Encoding::Gzip, "AfterEnd"),
            (wide.to_vec(), Encoding::Zstd, "Window"),
            (with_dictionary.to_vec(), Encoding::Zstd, "Dictionary"),
        ] {
            assert_eq!(decoded(&body, encoding), Err(reason.to_owned()));
        }
        assert_eq!(decoded(b"", Encoding::Identity), Ok(Vec::new()), "no line");
        assert_eq!(decoded(b"", Encoding::Gzip), Err("NotCompressed".to_owned()));
    }
}
