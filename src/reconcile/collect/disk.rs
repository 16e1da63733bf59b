//! How full the disk of the data directory is.

use std::path::Path;

/// The part of a file system that is taken, in percent, as `df` counts it: what only root may use is no room.
pub fn percent_used(path: &Path) -> std::io::Result<u32> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(percent(stat.f_blocks - stat.f_bfree.min(stat.f_blocks), stat.f_bavail))
}

/// Rounded up: a disk that is nearly full is not said to have room.
fn percent(used: u64, available: u64) -> u32 {
    let all = u128::from(used) + u128::from(available);
    u32::try_from((u128::from(used) * 100).div_ceil(all.max(1))).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_counted_as_df_counts_them() {
        assert_eq!(
            [percent(0, 10), percent(5, 5), percent(901, 99), percent(10, 0), percent(0, 0)],
            [0, 50, 91, 100, 0]
        );
        assert!((1..=100).contains(&percent_used(Path::new("/")).unwrap()));
    }
}
