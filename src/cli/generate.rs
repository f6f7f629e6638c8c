//! `kundeforhold generate`

use super::progress;
use super::{Failure, out};
use crate::sandbox::population::{GeneratedSet, Population, PopulationSize};
use flate2::write::GzEncoder;
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes held before they are written.
const BUFFER: usize = 256 * 1024;
/// The progress bar moves after so many lines.
const STEP: u64 = 10_000;
/// Fast rather than small.
const GZIP_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 3;

/// Banks, customers and relationships of any size, all synthetic and the same for the same seed
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold generate --directory population --relationships 1000000 --banks 20 --zstd\n\n\
                  Makes DIR/participants.toml, and DIR/relationships/BANK-REGISTER.ndjson for each set. All person\n\
                  numbers are of Tenor's series (80 added to the month)."
)]
pub struct Generate {
    /// Where to put the files, none of which may exist
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Relationships of all banks together
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    relationships: u64,
    /// Customers to choose from; default: one for five relationships
    #[arg(long, value_name = "NUMBER")]
    customers: Option<u64>,
    /// Banks; the first has a fifth of the relationships
    #[arg(long, value_name = "NUMBER", default_value_t = 12)]
    banks: u64,
    /// Another seed, another population
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Compresses the sets with gzip
    #[arg(long, conflicts_with = "zstd")]
    gzip: bool,
    /// Compresses the sets with Zstandard
    #[arg(long)]
    zstd: bool,
    /// Writes numbers of customers with relationships here, one a line, to ask about
    #[arg(long, value_name = "FILE")]
    customers_file: Option<PathBuf>,
    /// How many numbers
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 10_000,
        requires = "customers_file"
    )]
    customers_listed: usize,
}

impl Generate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let population = Population::new(&PopulationSize {
            banks: self.banks,
            relationships: self.relationships,
            customers: self.customers,
            seed: self.seed,
        })?;
        let sets = self.directory.join("relationships");
        std::fs::create_dir_all(&sets).map_err(|cause| failed(&sets, &cause))?;
        let participants = self.directory.join("participants.toml");
        write(&participants, |file| {
            file.write_all(population.participants_file().as_bytes())
        })?;
        if let Some(path) = &self.customers_file {
            let customers = population.existing_customers().take(self.customers_listed);
            write(path, |file| {
                customers
                    .into_iter()
                    .try_for_each(|customer| writeln!(file, "{customer}"))
            })?;
        }
        let bar = progress::lines(self.relationships)?;
        for set in population.sets() {
            self.write_set(&sets, set, &bar)?;
        }
        bar.finish_and_clear();
        out::say(format_args!(
            "{} relationships of {} banks in {} sets, in {}",
            self.relationships,
            self.banks,
            population.sets().len(),
            self.directory.display()
        ))?;
        Ok(())
    }

    fn write_set(&self, directory: &Path, set: &GeneratedSet, bar: &ProgressBar) -> Result<(), Failure> {
        let ending = match (self.gzip, self.zstd) {
            (true, _) => ".gz",
            (_, true) => ".zst",
            _ => "",
        };
        let (bank, register) = (set.id.bank, set.id.register);
        write(
            &directory.join(format!("{bank}-{register}.ndjson{ending}")),
            |file| {
                if self.gzip {
                    let mut gzip = GzEncoder::new(file, flate2::Compression::new(GZIP_LEVEL));
                    write_lines(set, bar, &mut BufWriter::with_capacity(BUFFER, &mut gzip))?;
                    gzip.finish().map(drop)
                } else if self.zstd {
                    let mut zstd = zstd::Encoder::new(file, ZSTD_LEVEL)?;
                    write_lines(set, bar, &mut BufWriter::with_capacity(BUFFER, &mut zstd))?;
                    zstd.finish().map(drop)
                } else {
                    write_lines(set, bar, file)
                }
            },
        )
    }
}

/// The set as lines, and what is buffered with them.
fn write_lines(set: &GeneratedSet, bar: &ProgressBar, to: &mut impl Write) -> std::io::Result<()> {
    let begun_at = bar.position();
    for (record, written) in set.records().zip(0..) {
        writeln!(to, "{record}")?;
        if written % STEP == 0 {
            bar.set_position(begun_at + written);
        }
    }
    bar.set_position(begun_at + set.relationships());
    to.flush()
}

/// A new file, filled.
fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<(), Failure> {
    let filled = File::create_new(path).and_then(|file| {
        let mut buffered = BufWriter::with_capacity(BUFFER, file);
        fill(&mut buffered)?;
        buffered.flush()
    });
    filled.map_err(|cause| failed(path, &cause))
}

fn failed(path: &Path, cause: &std::io::Error) -> Failure {
    Failure::Refused(format!("{} cannot be made: {cause}", path.display()))
}
