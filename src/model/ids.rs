//! Identifiers. No id is a bare string: one macro makes each a type that is checked when it is parsed.

use super::error::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Makes an id newtype: `Display`, `FromStr`, serde as a checked string, and random construction.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr, $random:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes the id of these random bytes (randomness is passed in, never drawn here).
            pub fn from_random(bytes: [u8; 16]) -> Self {
                let make: fn([u8; 16]) -> String = $random;
                Self(make(bytes))
            }

            /// The id as text.
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
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Invalid::new(format!("`{}` is not {}", text.escape_debug(), $what)))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_dashed_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_digit() || ('a'..='f').contains(&c),
        })
}

/// Lower-case hexadecimal text of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A version 4 UUID (RFC 9562 §5.4) of random bytes, dashed.
pub fn uuid4(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let h = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}

id!(
    /// One towpath installation (one data directory); labels everything it owns on an engine.
    InstallationId, "an installation id (32 hex digits)", |t| is_lower_hex(t, 32), |b| hex(&b)
);
id!(
    /// A service, as in its ARN (row R1).
    ServiceId, "a service id (32 hex digits)", |t| is_lower_hex(t, 32), |b| hex(&b)
);
id!(
    /// One running copy of a revision (row O1).
    InstanceId, "an instance id (32 hex digits)", |t| is_lower_hex(t, 32), |b| hex(&b)
);
id!(
    /// One operation: a dashed UUID on the wire (row D3).
    OperationId, "an operation id (a UUID such as `7a4f…`)", is_dashed_uuid, uuid4
);
id!(
    /// What the API made beside services: a connection, a configuration, a connector, a domain (rows R1, I6, L6, L7).
    ResourceId, "the id of a resource (32 hex digits)", |t| is_lower_hex(t, 32), |b| hex(&b)
);

impl OperationId {
    /// The id without dashes, as stream names carry it (row D3).
    pub fn undashed(&self) -> String {
        self.as_str().replace('-', "")
    }
}

/// A SHA-256 over canonical content, in 64 hex digits: the name of what has exactly that content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of a value's JSON form. Maps in the model are ordered, so equal values have equal digests.
    pub fn of<T: Serialize>(value: &T) -> Self {
        use sha2::Digest as _;
        // The model's types have string keys and no failing serializers.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        Self(hex(&sha2::Sha256::digest(&bytes)))
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        if is_lower_hex(&text, 64) {
            Ok(Self(text))
        } else {
            Err(Invalid::new(format!("`{}` is not a digest (64 hex digits)", text.escape_debug())))
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

/// What a build is named after: the digest of everything that goes into it. Same inputs, same id, no second build.
pub type BuildId = Digest;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_id_is_a_version_4_uuid() {
        let id = OperationId::from_random([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(id.undashed().len(), 32);
        assert_eq!(id.as_str().parse::<OperationId>().unwrap(), id);
    }

    #[test]
    fn ids_refuse_foreign_text() {
        for bad in ["", "ABCDEF", "../../etc/passwd", "0123456789abcdef0123456789abcdeg"] {
            assert!(bad.parse::<ServiceId>().is_err(), "{bad}");
        }
    }
}
