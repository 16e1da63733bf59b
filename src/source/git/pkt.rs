//! git's packet lines (gitprotocol-common): four hex digits of length, then the rest. Pure; every byte is a stranger's.

use git2::Oid;

/// The longest packet, its length included.
const LONGEST: usize = 65_520;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Data(&'a [u8]),
    Flush,
    Delimiter,
}

/// A text as one packet. It has to be short: lines of requests are.
pub(super) fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

/// The first packet and what follows it.
pub(super) fn next(bytes: &[u8]) -> Result<(Packet<'_>, &[u8]), &'static str> {
    let (digits, rest) = bytes.split_at_checked(4).ok_or("it breaks off")?;
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
    let length = digits.and_then(|text| usize::from_str_radix(text, 16).ok()).ok_or("a length is no number")?;
    match length {
        0 => Ok((Packet::Flush, rest)),
        1 => Ok((Packet::Delimiter, rest)),
        4..=LONGEST => {
            let (data, rest) = rest.split_at_checked(length - 4).ok_or("it breaks off")?;
            Ok((Packet::Data(data), rest))
        }
        _ => Err("a length is none"),
    }
}

/// A reference that a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its name; that of an annotated tag's commit ends with `^{}`, as protocol version 0 lists it.
    pub(super) name: String,
    pub(super) id: Oid,
    /// What a symbolic reference stands for.
    pub(super) symref: Option<String>,
}

/// What the answer to `ls-refs` of protocol version 2 lists.
pub(super) fn listed(mut bytes: &[u8]) -> Result<Vec<Listed>, String> {
    let mut all = Vec::new();
    loop {
        let (packet, rest) = next(bytes)?;
        bytes = rest;
        match packet {
            Packet::Data(data) => list(data, &mut all)?,
            Packet::Flush if bytes.is_empty() => return Ok(all),
            Packet::Flush => return Err("it goes on after its end".into()),
            Packet::Delimiter => return Err("it has a part that was not asked for".into()),
        }
    }
}

/// `<id> <name>[ symref-target:<name>][ peeled:<id>]`
fn list(data: &[u8], all: &mut Vec<Listed>) -> Result<(), String> {
    let text = std::str::from_utf8(data).map_err(|_| "a name is no text")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if let Some(said) = text.strip_prefix("ERR ") {
        return Err(format!("it says `{said}`"));
    }
    let mut words = text.split(' ');
    let (id, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut symref, mut peeled) = (None, None);
    for word in words {
        match word.split_once(':') {
            Some(("symref-target", target)) => symref = Some(target.to_owned()),
            Some(("peeled", id)) => peeled = Some(oid(id)?),
            // What a later version of git adds.
            _ => {}
        }
    }
    if name.is_empty() {
        return Err("a reference has no name".into());
    }
    all.extend(peeled.map(|id| Listed { name: format!("{name}^{{}}"), id, symref: None }));
    all.push(Listed { name: name.to_owned(), id: oid(id)?, symref });
    Ok(())
}

fn oid(text: &str) -> Result<Oid, String> {
    // `from_str` takes the beginning of an id for one that ends with zeros.
    let whole = Some(text).filter(|text| text.len() == 40);
    whole.and_then(|text| Oid::from_str(text).ok()).ok_or_else(|| "an id is none".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "3f2a91c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4";

    fn answer(lines: &[String]) -> Vec<u8> {
        let mut text: String = lines.iter().map(|text| line(text)).collect();
        text.push_str("0000");
        text.into_bytes()
    }

    #[test]
    fn references_are_read_with_what_they_stand_for() {
        let lines =
            [format!("{ID} HEAD symref-target:refs/heads/main\n"), format!("{ID} refs/tags/v1 peeled:{ID} later:x\n")];
        let all = listed(&answer(&lines)).unwrap();
        let names: Vec<&str> = all.iter().map(|listed| listed.name.as_str()).collect();
        assert_eq!(names, ["HEAD", "refs/tags/v1^{}", "refs/tags/v1"]);
        assert_eq!(all[0].symref.as_deref(), Some("refs/heads/main"));
        assert_eq!(listed(b"0000").unwrap(), []);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let whole = answer(&[format!("{ID} HEAD\n")]);
        for length in 0..whole.len() {
            assert!(listed(&whole[..length]).is_err(), "{length}");
        }
        for bad in [&b"0003"[..], b"zzzz", b"fff1", b"00000000", b"00010000", b"+004", b"<html>"] {
            assert!(listed(bad).is_err(), "{bad:?}");
        }
        for bad in ["3f2a91c HEAD", ID, &format!("{ID} "), "ERR no such repository", &format!("{ID} r peeled:1")] {
            assert!(listed(&answer(&[bad.to_owned()])).is_err(), "{bad}");
        }
        assert_eq!(listed(&answer(&["ERR gone\n".into()])).unwrap_err(), "it says `gone`");
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_or_an_error_and_never_more_names_than_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(all) = listed(&bytes) {
                prop_assert!(all.len() <= bytes.len() / 4);
            }
        }

        #[test]
        fn what_was_written_is_read(names in prop::collection::vec("[!-~]{1,60}", 0..20)) {
            let lines: Vec<String> = names.iter().map(|name| format!("{ID} {name}")).collect();
            let all = listed(&answer(&lines)).unwrap();
            prop_assert!(all.iter().map(|listed| &listed.name).eq(&names));
        }

        #[test]
        fn a_damaged_answer_is_read_or_refused(at in 0usize..60, byte in any::<u8>()) {
            let mut bytes = answer(&[format!("{ID} refs/heads/main\n")]);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = listed(&bytes);
        }
    }
}
