//! What is kept on disk, and how full it may become.

use crate::model::{Invalid, Memory};
use clap::Args;
use std::time::Duration;

/// What is kept; each is a flag of `up` and a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Keep {
    /// Revisions of a service that are kept for rollbacks, with their builds
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000), env = "TOWPATH_KEEP_REVISIONS", hide_env_values = true)]
    pub keep_revisions: u32,
    /// Operations of a service that are kept, with their logs
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000), env = "TOWPATH_KEEP_OPERATIONS", hide_env_values = true)]
    pub keep_operations: u32,
    /// Instances of a service whose logs are kept
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=100_000), env = "TOWPATH_KEEP_INSTANCE_LOGS", hide_env_values = true)]
    pub keep_instance_logs: u32,
    /// How long logs of ended operations and instances are kept
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration, env = "TOWPATH_KEEP_LOGS", hide_env_values = true)]
    pub keep_logs: Duration,
    /// How long events are kept
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration, env = "TOWPATH_KEEP_EVENTS", hide_env_values = true)]
    pub keep_events: Duration,
    /// How long records of the audit trail are kept
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration, env = "TOWPATH_KEEP_AUDIT", hide_env_values = true)]
    pub keep_audit: Duration,
    /// How large a file of the audit trail grows before the next is begun
    #[arg(long, value_name = "SIZE", default_value = "16 MB", value_parser = audit_file, env = "TOWPATH_AUDIT_FILE", hide_env_values = true)]
    pub audit_file: Memory,
    /// How long mirrors and caches are kept that nothing needs
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration, env = "TOWPATH_KEEP_UNUSED", hide_env_values = true)]
    pub keep_unused: Duration,
    /// What the downloads that a service's builds keep may take (process engine)
    #[arg(long, value_name = "SIZE", default_value = "4 GB", env = "TOWPATH_KEEP_CACHE", hide_env_values = true)]
    pub keep_cache: Memory,
    /// How full the disk may be before everything goes that nothing needs
    #[arg(long, value_name = "PERCENT", default_value = "85%", value_parser = percent, env = "TOWPATH_DISK_HIGH", hide_env_values = true)]
    pub disk_high: u32,
    /// How full the disk may be before nothing is built any more
    #[arg(long, value_name = "PERCENT", default_value = "95%", value_parser = percent, env = "TOWPATH_DISK_CRITICAL", hide_env_values = true)]
    pub disk_critical: u32,
}

/// Days, hours, minutes: what the CLI reads.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let found = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let number = found.and_then(|(digits, seconds)| digits.parse::<u64>().ok()?.checked_mul(*seconds));
    let most = 100 * 365 * 86_400;
    number.filter(|n| *n <= most).map(Duration::from_secs).ok_or_else(|| "write it like `30d` or `12h`".into())
}

/// A file that is worth one, and that can still be read at once.
fn audit_file(text: &str) -> Result<Memory, Invalid> {
    let size: Memory = text.parse()?;
    let bounds = 1 << 20..=1 << 30;
    if bounds.contains(&size.0) { Ok(size) } else { Err(Invalid::new("a file of the audit trail is `1 MB` to `1 GB`")) }
}

/// `85%`: 1% to 100%.
fn percent(text: &str) -> Result<u32, Invalid> {
    let number = text.strip_suffix('%').ok_or_else(|| Invalid::new("write it with its unit, like `85%`"))?;
    number.parse().ok().filter(|n| (1..=100).contains(n)).ok_or_else(|| Invalid::new("a disk is `1%` to `100%` full"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_written_with_its_unit() {
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["30", "d", "-1d", "1.5h", "99999999999999999999d", "40000d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(percent("85%"), Ok(85));
        for bad in ["85", "0%", "101%", "x%"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
