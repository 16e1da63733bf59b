//! Principals: who a trust policy or an endpoint policy is about.

use super::element::Element;

/// Who asks, as policies name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The ARNs that name it exactly: a user's; a session's and its role's.
    pub arns: Vec<String>,
    /// Its account: 12 digits.
    pub account: String,
    /// The service that it is (`tasks.apprunner.amazonaws.com`).
    pub service: Option<String>,
}

/// How closely a policy names who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Not at all.
    None,
    /// By its account: its own policies have to allow it besides.
    Account,
    /// By its ARN, its service, or everybody.
    Direct,
}

/// `Principal` or `NotPrincipal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Principals {
    /// These.
    Only(Vec<Named>),
    /// All but these.
    AllBut(Vec<Named>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Everybody,
    Account(String),
    Arn(String),
    Service(String),
    /// Identity providers come later; nobody is one yet.
    Federated,
}

impl Principals {
    /// Whether, and how closely, a principal is meant.
    pub fn trust(&self, principal: &Principal) -> Trust {
        match self {
            Self::Only(names) => names.iter().map(|name| name.trust(principal)).max().unwrap_or(Trust::None),
            Self::AllBut(names) if names.iter().any(|name| name.trust(principal) != Trust::None) => Trust::None,
            Self::AllBut(_) => Trust::Direct,
        }
    }
}

impl Named {
    fn trust(&self, principal: &Principal) -> Trust {
        let if_so = |holds: bool, trust: Trust| if holds { trust } else { Trust::None };
        match self {
            Self::Everybody => Trust::Direct,
            Self::Account(account) => {
                if_so(principal.service.is_none() && principal.account == *account, Trust::Account)
            }
            Self::Arn(arn) => if_so(principal.arns.contains(arn), Trust::Direct),
            Self::Service(service) => if_so(principal.service.as_ref() == Some(service), Trust::Direct),
            Self::Federated => Trust::None,
        }
    }

    /// Reads `"*"`, or `{ "AWS": …, "Service": … }`.
    pub fn read(element: &Element) -> Result<Vec<Self>, String> {
        let members = match element {
            Element::Text(text) if text == "*" => return Ok(vec![Self::Everybody]),
            Element::Object(members) if !members.is_empty() => members,
            _ => return Err("must be \"*\" or an object with `AWS` or `Service`".into()),
        };
        let mut names = Vec::new();
        for (kind, element) in members {
            for text in element.texts().map_err(|why| format!("`{}` {why}", kind.escape_debug()))? {
                names.push(Self::of(kind, text)?);
            }
        }
        Ok(names)
    }

    fn of(kind: &str, text: &str) -> Result<Self, String> {
        let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        match (kind, text) {
            ("AWS", "*") => Ok(Self::Everybody),
            ("AWS", account) if is_account(account) => Ok(Self::Account(account.to_owned())),
            ("AWS", arn) if arn.starts_with("arn:") && arn.split(':').count() >= 6 && !arn.contains(['*', '?']) => {
                match arn.strip_suffix(":root").and_then(|head| head.rsplit(':').next()) {
                    Some(account) if is_account(account) => Ok(Self::Account(account.to_owned())),
                    _ => Ok(Self::Arn(arn.to_owned())),
                }
            }
            ("Service", service) if !service.contains('*') => Ok(Self::Service(service.to_owned())),
            ("Federated", _) => Ok(Self::Federated),
            ("AWS" | "Service", other) => {
                Err(format!("`{}` names nobody: write an account, a whole ARN, or \"*\" alone", other.escape_debug()))
            }
            (other, _) => Err(format!("`{}` is no kind of principal: `AWS` and `Service` are", other.escape_debug())),
        }
    }
}
