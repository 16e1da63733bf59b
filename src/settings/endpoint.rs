//! Private endpoints of the API, as `--endpoint` names them.

use crate::model::Invalid;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A private endpoint: `NAME=ADDRESS`, or `NAME=ADDRESS=FILE` with its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSetting {
    /// Its name: `aws:SourceVpce` in policies.
    pub name: String,
    /// Where it answers.
    pub address: SocketAddr,
    /// The file of its policy.
    pub policy: Option<PathBuf>,
}

impl FromStr for EndpointSetting {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |what: &str| {
            Invalid::new(format!("`{}` {what}", text.escape_debug()))
                .hint("write `NAME=ADDRESS` or `NAME=ADDRESS=POLICY_FILE`, like `vpce-build=10.0.0.5:8090=build.json`")
        };
        let mut parts = text.splitn(3, '=');
        let (Some(name), Some(address)) = (parts.next(), parts.next()) else { return Err(wrong("has no address")) };
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !(1..=64).contains(&name.len()) || !plain {
            return Err(wrong("does not begin with a name of letters, digits and `-`"));
        }
        let address = address.parse().map_err(|_| wrong("has no address with a port"))?;
        let policy = parts.next().map(PathBuf::from);
        if policy.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            return Err(wrong("names no file after the second `=`"));
        }
        Ok(Self { name: name.to_owned(), address, policy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_name_an_address_and_perhaps_a_policy() {
        let read = |text: &str| text.parse::<EndpointSetting>();
        let whole = read("vpce-1=[::1]:9=/etc/a=b.json").unwrap();
        assert_eq!((whole.name.as_str(), whole.address.port()), ("vpce-1", 9));
        assert_eq!(whole.policy, Some("/etc/a=b.json".into()));
        assert_eq!(read("x=127.0.0.1:80").unwrap().policy, None);
        for bad in ["", "x", "x=", "=127.0.0.1:80", "x=127.0.0.1", "a b=127.0.0.1:80", "x=127.0.0.1:80="] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
