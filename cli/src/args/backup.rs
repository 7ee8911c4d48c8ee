//! `partyrun backup`, `partyrun restore`, and the backups that `start` takes, as they are typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

pub(super) const BACKUP_EXAMPLES: &str = "Examples:
  partyrun backup /backup/today               of the project of this folder, whether its server runs or not
  partyrun backup \"/backup/$(date +%F)\" --persist /var/lib/chat
  partyrun backup s3://chat-backups/today     to S3-compatible storage, with the AWS variables of the environment

`partyrun start --backup-to PLACE` takes backups by itself.";

pub(super) const RESTORE_EXAMPLES: &str = "Examples:
  partyrun restore /backup/today --check      read the backup whole, and change nothing
  partyrun restore /backup/today              put it into the empty data folder of this project
  partyrun restore /backup/today --persist /var/lib/chat --replace
  partyrun restore s3://chat-backups/today";

/// Where the data is.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The configuration file.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Where storage is kept [default: .partyrun].
    #[arg(long, value_name = "PATH")]
    pub(crate) persist: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The place of this backup, which must have none yet: a folder, or `s3://BUCKET/PATH`.
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The place of the backup: a folder, or `s3://BUCKET/PATH`.
    pub(crate) from: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Verify the backup, and restore nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Move data that is there aside, and restore in its place.
    #[arg(long, conflicts_with = "check")]
    pub(crate) replace: bool,
    /// Accept values that were altered on disk before the backup was taken; they cannot be read.
    #[arg(long)]
    pub(crate) with_altered: bool,
}

/// Backups that a server takes by itself.
#[derive(Debug, Default, Args)]
pub(crate) struct ScheduleArgs {
    /// Take backups into folders inside this place, again and again: a folder, or `s3://BUCKET/PATH`.
    #[arg(long, value_name = "PLACE")]
    pub(crate) backup_to: Option<String>,
    /// The time from one backup to the next: a number with `s`, `m`, `h` or `d` [default: 1h].
    #[arg(long, value_name = "TIME", value_parser = every, requires = "backup_to")]
    pub(crate) backup_every: Option<Duration>,
    /// How many backups are kept; older ones are removed when a new one was taken [default: 24].
    #[arg(long, value_name = "COUNT", value_parser = keep, requires = "backup_to")]
    pub(crate) backup_keep: Option<usize>,
}

fn every(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        count.checked_mul(seconds).filter(|seconds| *seconds > 0)
    });
    seconds.map(Duration::from_secs).ok_or_else(|| "write a time such as `30m`, `1h` or `1d`".to_string())
}

fn keep(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=100_000) => Ok(count),
        _ => Err("write a number, at least 1".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let seconds = |text: &str| every(text).ok().map(|time| time.as_secs());
        assert_eq!(
            ["90s", "15m", "1h", "2 d"].map(seconds),
            [Some(90), Some(900), Some(3600), Some(172_800)]
        );
        for bad in ["", "1", "h", "0s", "-1h", "1w", "1.5h", "99999999999999999999s", "9999999999999999999d"]
        {
            assert!(every(bad).is_err(), "{bad}");
        }
        assert_eq!((keep("1"), keep("0").is_err(), keep("x").is_err()), (Ok(1), true, true));
    }
}
