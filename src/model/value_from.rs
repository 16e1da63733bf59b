//! What a secret's `value-from` names (row L2): a secret of Secrets Manager or a parameter of Systems Manager, by ARN or by
//! name. towpath keeps secrets of its own under these names.

use super::Invalid;
use std::str::FromStr;

/// The longest name.
const LONGEST: usize = 512;

/// A reference to a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueFrom {
    kind: Kind,
    /// Where it is, as ARNs say it; `None` for a name alone, which is one of this installation.
    place: Option<String>,
    name: String,
    key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Secret,
    Parameter,
}

impl ValueFrom {
    /// What a policy has to allow so that it may be read.
    pub fn action(&self) -> &'static str {
        match self.kind {
            Kind::Secret => "secretsmanager:GetSecretValue",
            Kind::Parameter => "ssm:GetParameters",
        }
    }

    /// The ARN that policies know it by, in an installation of this region and account.
    pub fn arn(&self, region: &str, account: &str) -> String {
        let own = || format!("{}:{region}:{account}", if self.kind == Kind::Secret { "secretsmanager" } else { "ssm" });
        let place = self.place.clone().unwrap_or_else(own);
        match self.kind {
            Kind::Secret => format!("arn:aws:{place}:secret:{}", self.name),
            Kind::Parameter => format!("arn:aws:{place}:parameter/{}", self.name),
        }
    }

    /// The names that it may be kept under, the likeliest first: an ARN of Secrets Manager ends with six random characters,
    /// which are no part of the name.
    pub fn names(&self) -> Vec<&str> {
        let random = |tail: &str| tail.len() == 6 && tail.bytes().all(|b| b.is_ascii_alphanumeric());
        let plain = self.name.rsplit_once('-').filter(|(_, tail)| self.kind == Kind::Secret && random(tail));
        std::iter::once(self.name.as_str()).chain(plain.map(|(plain, _)| plain)).collect()
    }

    /// The key of the JSON object that its value is, where one is asked for.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// Whether secrets can be kept under a name: parts of letters, digits and `_+=.@-`, between slashes.
pub fn is_secret_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=.@-".contains(&b))
    };
    name.len() <= LONGEST && name.split('/').all(part)
}

impl FromStr for ValueFrom {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let none = || {
            Invalid::new("is neither a secret nor a parameter").hint(
                "write `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`, `arn:aws:ssm:REGION:ACCOUNT:parameter/NAME`, \
                 or the name of a parameter",
            )
        };
        let read = match text.split(':').collect::<Vec<_>>()[..] {
            ["arn", _, "secretsmanager", region, account, "secret", name, ref rest @ ..] => Self {
                kind: Kind::Secret,
                place: Some(format!("secretsmanager:{region}:{account}")),
                name: name.to_owned(),
                key: key(rest)?,
            },
            ["arn", _, "ssm", region, account, path] => Self {
                kind: Kind::Parameter,
                place: Some(format!("ssm:{region}:{account}")),
                name: path.strip_prefix("parameter/").ok_or_else(none)?.to_owned(),
                key: None,
            },
            [name] => Self {
                kind: Kind::Parameter,
                place: None,
                name: name.strip_prefix('/').unwrap_or(name).to_owned(),
                key: None,
            },
            _ => return Err(none()),
        };
        if is_secret_name(&read.name) { Ok(read) } else { Err(none()) }
    }
}

/// `:json-key:version-stage:version-id`; only the current version is kept here.
fn key(rest: &[&str]) -> Result<Option<String>, Invalid> {
    let (key, stage, id) = match *rest {
        [] => ("", "", ""),
        [key] => (key, "", ""),
        [key, stage] => (key, stage, ""),
        [key, stage, id] => (key, stage, id),
        _ => return Err(Invalid::new("has more parts than `secret:NAME:KEY:STAGE:VERSION`")),
    };
    if !matches!(stage, "" | "AWSCURRENT") || !id.is_empty() {
        return Err(Invalid::new("asks for a version; only the current one is kept here")
            .hint("leave stage and version empty: `…:secret:NAME:KEY::`"));
    }
    Ok(Some(key).filter(|key| !key.is_empty()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ValueFrom {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn a_secret_is_known_by_its_name_with_and_without_the_random_end() {
        let secret = read("arn:aws:secretsmanager:us-east-1:111122223333:secret:shop/db-a1B2c3:password::");
        assert_eq!((secret.names(), secret.key()), (vec!["shop/db-a1B2c3", "shop/db"], Some("password")));
        assert_eq!(secret.action(), "secretsmanager:GetSecretValue");
        assert_eq!(
            secret.arn("local-1", "000000000000"),
            "arn:aws:secretsmanager:us-east-1:111122223333:secret:shop/db-a1B2c3"
        );
        assert_eq!(read("arn:aws:secretsmanager:r:1:secret:plain").names(), ["plain"]);
        assert_eq!(read("arn:aws:secretsmanager:r:1:secret:x-toolong7").names(), ["x-toolong7"]);
    }

    #[test]
    fn a_parameter_is_known_by_its_arn_and_by_its_name() {
        for text in ["arn:aws:ssm:local-1:000000000000:parameter/prod/db", "/prod/db", "prod/db"] {
            let parameter = read(text);
            assert_eq!(
                (parameter.names(), parameter.key(), parameter.action()),
                (vec!["prod/db"], None, "ssm:GetParameters")
            );
            assert_eq!(parameter.arn("local-1", "000000000000"), "arn:aws:ssm:local-1:000000000000:parameter/prod/db");
        }
    }

    #[test]
    fn what_leads_elsewhere_or_names_another_version_is_refused() {
        for bad in [
            "",
            "/",
            "../x",
            "a/../b",
            "a//b",
            ".hidden",
            "a/.b",
            "a b",
            "x\0",
            "ä",
            "arn:aws:s3:::bucket",
            "arn:aws:ssm:r:1:document/x",
            "arn:aws:secretsmanager:r:1:secret:",
            "arn:aws:secretsmanager:r:1:secret:x:k:AWSPREVIOUS:",
            "arn:aws:secretsmanager:r:1:secret:x:k::1234",
            "arn:aws:secretsmanager:r:1:secret:x:::::",
        ] {
            assert!(bad.parse::<ValueFrom>().is_err(), "{bad:?}");
        }
    }
}
