//! Names that people write: services, environment variables, runtimes, and the host labels made of service names.

use super::error::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Makes a checked string newtype.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> Result<(), Invalid> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}
pub(crate) use name;

name!(
    /// A service's name: 4–40 of `[A-Za-z0-9-_]`, starting with a letter or digit (App Runner's rule).
    ServiceName,
    |text| {
        let fits = (4..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if fits {
            return Ok(());
        }
        Err(Invalid::new(format!("`{}` is not a service name", text.escape_debug()))
            .hint("a service name has 4 to 40 letters, digits, `-` or `_`, and starts with a letter or digit"))
    }
);

impl ServiceName {
    /// The host label of this service: lower case, `_` as `-`, no `-` at the end. Different names may share one.
    pub fn host_label(&self) -> HostLabel {
        HostLabel(self.0.to_ascii_lowercase().replace('_', "-").trim_end_matches('-').to_owned())
    }
}

/// One DNS label under the base domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostLabel(String);

impl HostLabel {
    /// A generated label: ten of `a-z0-9` of random bytes (row I7).
    pub fn from_random(bytes: [u8; 10]) -> Self {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        Self(bytes.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect())
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

name!(
    /// An environment variable's name: anything that an environment carries, which is more than a shell can read
    /// (`spring.datasource.url`). At most 51200 characters, as on App Runner.
    EnvName,
    |text| {
        let fits = !text.is_empty()
            && text.len() <= 51_200
            && !text.contains('=')
            && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        if !fits {
            let short: String = text.chars().take(60).collect();
            let message = format!("`{}` is not the name of an environment variable", short.escape_debug());
            return Err(Invalid::new(message)
                .hint("a name holds no `=`, no space and no control character"));
        }
        if text.starts_with("AWSAPPRUNNER") {
            return Err(Invalid::new(format!("`{text}` is reserved")).hint("names must not start with `AWSAPPRUNNER`"));
        }
        Ok(())
    }
);

impl EnvName {
    /// Whether a POSIX shell can read it: letters, digits and `_`, no digit first.
    pub fn is_for_shells(&self) -> bool {
        let bytes = self.0.as_bytes();
        bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') && !bytes[0].is_ascii_digit()
    }
}

name!(
    /// A managed runtime's name as files spell it (`python3`, `nodejs18`); whether it exists is the catalogue's to say.
    RuntimeName,
    |text| {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        if fits { Ok(()) } else { Err(Invalid::new(format!("`{}` is not a runtime name", text.escape_debug()))) }
    }
);

impl RuntimeName {
    /// What stands for a runtime where the repository's own Dockerfile builds.
    pub fn dockerfile() -> Self {
        Self("dockerfile".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_names_follow_app_runner() {
        for good in ["shop", "my_service-2", "0abc"] {
            assert!(good.parse::<ServiceName>().is_ok(), "{good}");
        }
        for bad in ["abc", "", "-abc", "a b c d", "schön", &"a".repeat(41)] {
            assert!(bad.parse::<ServiceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_variable_is_named_as_an_environment_can_carry_it() {
        for good in ["A", "spring.datasource.url", "ProgramFiles(x86)", "9LIVES", "größe", "a-b"] {
            assert!(good.parse::<EnvName>().is_ok(), "{good}");
        }
        for bad in ["", "A=B", "A B", "A\n", "\0", "AWSAPPRUNNER_X", &"a".repeat(51_201)] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad}");
        }
        let shells = |name: &str| name.parse::<EnvName>().unwrap().is_for_shells();
        assert!(shells("LOG_LEVEL2") && !shells("spring.x") && !shells("9LIVES") && !shells("é"));
    }

    #[test]
    fn a_host_label_is_lower_case_without_underscores() {
        assert_eq!("My_Shop".parse::<ServiceName>().unwrap().host_label().as_str(), "my-shop");
    }
}
