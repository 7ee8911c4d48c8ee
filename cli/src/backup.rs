//! `partyrun backup`, `partyrun restore`, and the backups of `partyrun start`: what they print. `partyrun_backup` does the work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use partyrun_backup::{BackupError, Event, Place, Running, Schedule, Stop, Verified};
use partyrun_config::{ConfigError, Request};
use partyrun_limits::shown_bytes;

use crate::args::{BackupArgs, DataArgs, RestoreArgs, ScheduleArgs};
use crate::output::{Output, counted};

/// Why the command ends with an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Backup(#[from] BackupError),
    #[error("Storage is not kept (`persist` is false): name a folder with `--persist PATH`.")]
    NotKept,
    #[error("The working folder cannot be found: {0}")]
    NoFolder(std::io::Error),
}

/// Takes a backup.
pub(crate) fn back_up(args: &BackupArgs) -> Result<(), CommandError> {
    let (cwd, data) = data(&args.data)?;
    back_up_to(&data, &place(&args.to, &cwd)?)
}

// The place that is meant; where it is a bucket, the environment says how it is reached.
fn place(text: &str, cwd: &Path) -> Result<Place, BackupError> {
    Place::new(text, cwd, |name| std::env::var(name).ok())
}

/// Takes a backup of a data folder, and says what was written.
pub(crate) fn back_up_to(data: &Path, to: &Place) -> Result<(), CommandError> {
    let taken = to.take(data, &Stop::default())?;
    for (path, bytes) in &taken.files {
        println!("Wrote {} ({})", path.display(), shown_bytes(*bytes));
    }
    Ok(())
}

/// Verifies a backup, and restores it.
pub(crate) fn restore(args: &RestoreArgs) -> Result<(), CommandError> {
    let (cwd, data) = data(&args.data)?;
    let from = place(&args.from, &cwd)?;
    if args.check {
        println!("{}", summary("Verified", &from, &from.verify(args.with_altered)?));
        return Ok(());
    }
    let restored = from.restore(&data, args.replace, args.with_altered)?;
    if let Some(aside) = &restored.aside {
        println!("Moved what was there before to {}", aside.display());
    }
    println!("{}", summary("Restored", &from, &restored.verified));
    println!("The data is in {}. Start the server.", data.display());
    Ok(())
}

fn summary(done: &str, from: &Place, verified: &Verified) -> String {
    let count = |count: u64, noun: &str| counted(usize::try_from(count).unwrap_or(usize::MAX), noun);
    let taken = match &verified.manifest {
        Some(manifest) => format!("taken {}", manifest.taken),
        None => "it has no backup.json, so that its files were verified by themselves".to_string(),
    };
    let altered = match verified.altered {
        0 => String::new(),
        altered => format!(", of which {} cannot be read", count(altered, "value")),
    };
    format!(
        "{done} {}: {}, {}{altered}, {} ({taken})",
        from.shown(),
        count(verified.rooms, "room"),
        count(verified.values, "value"),
        shown_bytes(verified.bytes)
    )
}

// The working folder and the data folder.
fn data(args: &DataArgs) -> Result<(PathBuf, PathBuf), CommandError> {
    let cwd = std::env::current_dir().map_err(CommandError::NoFolder)?;
    let config =
        partyrun_config::load(&Request::for_data(&cwd, args.config.as_deref(), args.persist.as_deref()))?;
    let data = config.persist.path().ok_or(CommandError::NotKept)?.to_path_buf();
    Ok((cwd, data))
}

/// Begins the backups that `start` was asked for, of the data folder, if there is one.
pub(crate) fn start(
    args: &ScheduleArgs,
    data: Option<&Path>,
    output: &Arc<Output>,
) -> Result<Option<Running>, CommandError> {
    const EVERY: std::time::Duration = std::time::Duration::from_secs(3600);
    const KEEP: usize = 24;
    let Some(to) = &args.backup_to else { return Ok(None) };
    let data = data.ok_or(CommandError::NotKept)?.to_path_buf();
    let cwd = std::env::current_dir().map_err(CommandError::NoFolder)?;
    let schedule = Schedule {
        data,
        to: place(to, &cwd)?,
        every: args.backup_every.unwrap_or(EVERY),
        keep: args.backup_keep.unwrap_or(KEEP),
    };
    output.note(&format!(
        "Backups go to {}, one every {} s, and the last {} are kept",
        schedule.to.shown(),
        schedule.every.as_secs(),
        schedule.keep
    ));
    let output = output.clone();
    Ok(Some(schedule.start(move |event| tell(&event, &output))?))
}

fn tell(event: &Event, output: &Output) {
    match event {
        Event::Taken { taken, took, removed } => {
            let removed = match removed {
                0 => String::new(),
                removed => format!("; removed {}", counted(*removed, "old backup")),
            };
            output.note(&format!(
                "Backup: {} ({}, {:.1} s){removed}",
                taken.folder.display(),
                shown_bytes(taken.bytes()),
                took.as_secs_f64()
            ));
        }
        Event::Failed { error, waiting, again_in } => {
            let kept = waiting.as_ref().map_or("Earlier backups are kept".to_owned(), |waiting| {
                format!("It was taken, waits in {}, and earlier backups are kept", waiting.display())
            });
            output.problem(&format!(
                "The backup failed: {error} {kept}; the next attempt is in {} s.",
                again_in.as_secs()
            ));
        }
        Event::Kept { error } => {
            output.problem(&format!("An old backup could not be removed: {error}"));
        }
    }
}
