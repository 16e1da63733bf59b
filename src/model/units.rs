//! Sizes with their units: CPU and memory.

use super::error::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// CPU in thousandths of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cpu(pub u32);

impl Cpu {
    /// One vCPU, the default (row I1).
    pub const DEFAULT: Self = Self(1000);

    /// CPU units as the wire has them: 1024 for one vCPU.
    pub fn wire_units(self) -> u32 {
        u32::try_from(u64::from(self.0) * 1024 / 1000).unwrap_or(u32::MAX)
    }
}

impl std::str::FromStr for Cpu {
    type Err = Invalid;
    /// Reads `0.5 vCPU`. The unit is required; a bare number gets a hint.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new(format!("`{}` is not a CPU size", text.escape_debug()));
        let Some(number) = text.trim().strip_suffix("vCPU").map(str::trim) else {
            let hint = match text.trim().parse::<f64>() {
                Ok(n) if n >= 64.0 => format!("write `{} vCPU`", n / 1024.0),
                Ok(n) => format!("write `{n} vCPU`"),
                Err(_) => "write it like `0.5 vCPU`".into(),
            };
            return Err(bad().hint(hint));
        };
        match parse_thousandths(number) {
            Some(milli) if (10..=256_000).contains(&milli) => Ok(Self(u32::try_from(milli).map_err(|_| bad())?)),
            Some(_) => Err(bad().hint("CPU goes from `0.01 vCPU` to `256 vCPU`")),
            None => Err(bad().hint("write it like `0.5 vCPU`")),
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} vCPU", f64::from(self.0) / 1000.0)
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Memory(pub u64);

const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

impl Memory {
    /// Two gigabytes, the default (row I1).
    pub const DEFAULT: Self = Self(2 * GB);

    /// Whole mebibytes, as the wire has them.
    pub fn wire_megabytes(self) -> u64 {
        self.0 / MB
    }
}

impl std::str::FromStr for Memory {
    type Err = Invalid;
    /// Reads `512 MB`, `1 GB`, `1.5 GB` (1 GB is 1024 MB, as App Runner counts).
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new(format!("`{}` is not a memory size", text.escape_debug()));
        let trimmed = text.trim();
        let (number, unit) = if let Some(n) = trimmed.strip_suffix("GB") {
            (n, GB)
        } else if let Some(n) = trimmed.strip_suffix("MB") {
            (n, MB)
        } else {
            let hint = match trimmed.parse::<f64>() {
                Ok(n) if n >= 64.0 => format!("write `{n} MB`"),
                Ok(n) => format!("write `{n} GB`"),
                Err(_) => "write it like `512 MB` or `1 GB`".into(),
            };
            return Err(bad().hint(hint));
        };
        let milli = parse_thousandths(number.trim()).ok_or_else(|| bad().hint("write it like `512 MB` or `1 GB`"))?;
        let bytes = milli.checked_mul(unit).map(|b| b / 1000).ok_or_else(bad)?;
        if (16 * MB..=4096 * GB).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(bad().hint("memory goes from `16 MB` to `4096 GB`"))
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= GB && self.0.is_multiple_of(GB / 8) {
            write!(f, "{} GB", self.0 as f64 / GB as f64)
        } else {
            write!(f, "{} MB", self.0 / MB)
        }
    }
}

/// A decimal number with at most three decimals, in thousandths. Exact, unlike a float.
fn parse_thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || fraction.len() > 3 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    Some(whole * 1000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print_alike() {
        for text in ["0.25 vCPU", "1 vCPU", "4 vCPU"] {
            assert_eq!(text.parse::<Cpu>().unwrap().to_string(), text);
        }
        for text in ["512 MB", "1 GB", "1.5 GB", "12 GB"] {
            assert_eq!(text.parse::<Memory>().unwrap().to_string(), text);
        }
        assert_eq!("0.5 vCPU".parse::<Cpu>().unwrap().wire_units(), 512);
        assert_eq!("2 GB".parse::<Memory>().unwrap().wire_megabytes(), 2048);
    }

    #[test]
    fn a_bare_number_gets_the_likely_unit_as_hint() {
        assert_eq!("1024".parse::<Cpu>().unwrap_err().hint.unwrap(), "write `1 vCPU`");
        assert_eq!("2".parse::<Memory>().unwrap_err().hint.unwrap(), "write `2 GB`");
        assert_eq!("512".parse::<Memory>().unwrap_err().hint.unwrap(), "write `512 MB`");
    }
}
