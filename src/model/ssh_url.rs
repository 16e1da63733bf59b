//! Repositories over ssh: `ssh://git@host[:port]/path` and `git@host:path`, checked so that no part of them can be taken
//! for an option or for more than one word by whoever gets it.

use super::error::Invalid;

/// Who is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SshTarget<'a> {
    /// The user.
    pub user: &'a str,
    /// The host, an IPv6 address without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
}

/// Checks a URL of either form.
pub(super) fn check(text: &str) -> Result<(), Invalid> {
    let bad = |why: &str| {
        Err(Invalid::new(format!("this is not a URL of a repository over ssh: {why}"))
            .hint("write it like `ssh://git@host/path` or `git@host:path`"))
    };
    let Some((authority, path)) = parts(text) else { return bad("it has no path") };
    let Some((user, place)) = authority.rsplit_once('@') else { return bad("it names no user") };
    if user.contains(':') {
        return Err(Invalid::new("a repository URL must not carry a password")
            .hint("take it out of the URL; ssh shows a key, see `source.key`"));
    }
    let plain = |text: &str, more: &[u8]| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b) || more.contains(&b))
    };
    if !plain(user, b"") {
        return bad("its user is none");
    }
    let Some((host, port)) = host_and_port(place) else { return bad("its port is none") };
    if !plain(host, b":") || (host.contains(':') && !place.starts_with('[')) || port == 0 {
        return bad("its host is none");
    }
    let relative = path.trim_start_matches('/');
    if relative.is_empty() || path.starts_with('-') {
        return bad("its path is none");
    }
    // None of these is in the name of a repository, and each means something to a shell.
    if relative.chars().any(|c| "'\"\\`$&|;<>(){}*?!#".contains(c)) {
        return bad("its path has a character that is not taken here");
    }
    Ok(())
}

/// Whether a text without a scheme is meant as `user@host:path`.
pub(super) fn is_short(text: &str) -> bool {
    !text.contains("://")
        && text.split_once(':').is_some_and(|(before, _)| before.contains('@') && !before.contains('/'))
}

/// The path of a URL that was checked.
pub(super) fn path(text: &str) -> &str {
    parts(text).map_or("", |(_, path)| path)
}

/// User and host, and the path.
fn parts(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix("ssh://") {
        let slash = rest.find('/')?;
        return Some(rest.split_at(slash));
    }
    // An IPv6 address has colons of its own.
    let end = text.find("]:").map(|at| at + 1).or_else(|| text.find(':'))?;
    Some((&text[..end], &text[end + 1..]))
}

fn host_and_port(place: &str) -> Option<(&str, u16)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, port.parse().ok()?)),
            None => after.is_empty().then_some((host, 22)),
        };
    }
    match place.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((place, 22)),
    }
}

/// Who a checked URL talks to.
pub(super) fn target(text: &str) -> Option<SshTarget<'_>> {
    let (authority, _) = parts(text)?;
    let (user, place) = authority.rsplit_once('@')?;
    let (host, port) = host_and_port(place)?;
    Some(SshTarget { user, host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_user_host_and_port() {
        for (text, user, host, port) in [
            ("ssh://git@host/acme/hello.git", "git", "host", 22),
            ("ssh://git@host:2222/acme/hello", "git", "host", 2222),
            ("ssh://deploy@[::1]:2222/srv/x", "deploy", "::1", 2222),
            ("git@host.example:acme/hello.git", "git", "host.example", 22),
            ("git@[fe80::1]:x", "git", "fe80::1", 22),
            ("git@host:/srv/x.git", "git", "host", 22),
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
            assert_eq!(target(text), Some(SshTarget { user, host, port }), "{text}");
        }
    }

    #[test]
    fn urls_made_to_hurt_are_refused() {
        for text in [
            "ssh://-oProxyCommand=x@host/p",
            "ssh://git@-oProxyCommand=x/p",
            "git@-oProxyCommand=x:p",
            "git@host:-x",
            "git@host:",
            "ssh://host/p",
            "ssh://git@/p",
            "ssh://git@host",
            "ssh://git@host/",
            "ssh://git@host:0/p",
            "ssh://git@host:99999/p",
            "ssh://git@host/p';reboot;'",
            "git@host:$(reboot)",
            "ssh://git@ho st/p",
            "ssh://git@a:b:c/p",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
        let error = check("ssh://git:hunter2@host/p").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
