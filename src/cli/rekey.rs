//! `kundeforhold rekey`

use super::{Failure, out};
use crate::config::Settings;
use crate::pseudonym::PseudonymRing;
use crate::register::rekey::Rekeying;
use crate::server::{StartError, rekeying, store_place};
use crate::store::{Rekey, Store, StoreError, StorePlace};
use std::path::PathBuf;
use std::time::Duration;

/// How often it is looked how far the service has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Brings the register under the next pseudonym key, while the service goes on
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold key new next.key\n  \
                  # pseudonym.next_key_file = \"next.key\" in the configuration; start the service again\n  \
                  kundeforhold rekey --config kundeforhold.toml\n  \
                  # then pseudonym.key_file = \"next.key\", without next_key_file; start the service again\n\n\
                  A running service does the work, and this command watches it until it is done; without a service it does \
                  it itself. Broken off, it goes on where it was: the service when it is started again. Backups made before need the former key.")]
pub struct RekeyCommand {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One line of JSON for scripts
    #[arg(long)]
    json: bool,
}

impl RekeyCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let settings = Settings::load(self.config.as_deref())?;
        let (place, pseudonyms) = (store_place(&settings.store)?, settings.pseudonyms()?);
        if pseudonyms.next().is_none() {
            return Err(Failure::Refused(
                "pseudonym.next_key_file is not set: it names the key that the register is brought under"
                    .to_owned(),
            ));
        }
        if let StorePlace::Sqlite(path) = &place
            && !path.exists()
        {
            return Err(StoreError::Absent(path.clone()).into());
        }
        // This command serves beside instances there, which cannot answer without the key.
        if matches!(place, StorePlace::Postgres(_))
            && Store::look_at_rekey(&place, &pseudonyms).await? == Rekey::NotOffered
        {
            return Err(not_offered());
        }
        match rekeying(&settings).await {
            Ok(rekeying) => do_alone(rekeying, &place, &pseudonyms).await?,
            Err(StartError::Store(StoreError::InUse(_))) => watch_service(&place, &pseudonyms).await?,
            Err(cause) => return Err(cause.into()),
        }
        match self.json {
            true => out::say(format_args!("{}", serde_json::json!({"state": "done"})))?,
            false => out::say(format_args!(
                "All is under the next key. Name its file in pseudonym.key_file, unset pseudonym.next_key_file, and \
                 start the service again. Keep the former key as long as there are backups made before."
            ))?,
        }
        Ok(())
    }
}

async fn do_alone(rekeying: Rekeying, place: &StorePlace, pseudonyms: &PseudonymRing) -> Result<(), Failure> {
    Store::ask_for_rekey(place, pseudonyms).await?;
    let done = rekeying.rekey().await;
    rekeying.store.close();
    Ok(done?)
}

fn not_offered() -> Failure {
    let told = "the running service does not have the next key: start it again with pseudonym.next_key_file";
    Failure::Refused(told.to_owned())
}

/// The service that has the file looks for what it is asked every second.
async fn watch_service(place: &StorePlace, pseudonyms: &PseudonymRing) -> Result<(), Failure> {
    let (mut seen, mut state) = (None, Store::ask_for_rekey(place, pseudonyms).await?);
    loop {
        match state {
            Rekey::Done => return Ok(()),
            Rekey::NotOffered => return Err(not_offered()),
            Rekey::Offered => {}
            Rekey::UnderWay { sets, left } => {
                if seen.replace(left) != Some(left) {
                    out::tell(format_args!("{left} of {sets} sets are left"));
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
        state = Store::look_at_rekey(place, pseudonyms).await?;
    }
}
