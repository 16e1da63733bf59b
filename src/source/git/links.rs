//! Where symbolic links lead, decided before any is written. Pure.

use std::collections::BTreeMap;

/// As many links as the kernel follows on one path (`path_resolution(7)`); what needs more cannot be opened at all.
const FOLLOWED: usize = 40;

/// The links of a tree: path from the root (parts joined by `/`) to target.
pub(super) type Links = BTreeMap<Vec<u8>, Vec<u8>>;

/// Whether following the link at `path` leads out of the root at any point: by an absolute target, or by more `..` than
/// there are directories, other links on the way included. A target that is not there, or a circle, leads nowhere.
pub(super) fn leads_out(path: &[u8], links: &Links) -> bool {
    let mut here: Vec<&[u8]> = parts(path).collect();
    // The link itself is the first to be followed.
    let mut ahead: Vec<&[u8]> = here.pop().into_iter().collect();
    let mut followed = 0;
    while let Some(part) = ahead.pop() {
        match part {
            b"." => continue,
            b".." if here.pop().is_none() => return true,
            b".." => continue,
            name => here.push(name),
        }
        let Some(target) = links.get(&here.join(&b'/')) else { continue };
        followed += 1;
        if target.starts_with(b"/") {
            return true;
        }
        if followed > FOLLOWED {
            return false;
        }
        here.pop();
        ahead.extend(parts(target).rev());
    }
    false
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(links: &[(&str, &str)]) -> Vec<String> {
        let links: Links =
            links.iter().map(|(path, target)| (path.as_bytes().to_vec(), target.as_bytes().to_vec())).collect();
        let out = links.keys().filter(|path| leads_out(path, &links));
        out.map(|path| String::from_utf8(path.clone()).unwrap()).collect()
    }

    #[test]
    fn links_inside_the_root_stay() {
        let inside =
            [("a", "b"), ("d/e", "../b"), ("d/up", ".."), ("x/y/z", "../../d/./e"), ("gone", "no/such"), ("q", ".")];
        assert_eq!(out(&inside), Vec::<String>::new());
    }

    #[test]
    fn links_that_leave_are_found() {
        for target in ["/etc/passwd", "..", "../x", "d/../../x", "a/b/../../../c", "./../x"] {
            assert_eq!(out(&[("l", target)]), ["l"], "{target}");
        }
        assert_eq!(out(&[("d/l", "../../x")]), ["d/l"]);
    }

    #[test]
    fn a_link_that_leaves_through_another_is_found_though_its_text_looks_harmless() {
        // `x/y/up` is the root, so `x/y/up/..` is above it; read as text it is `x/y`.
        assert_eq!(out(&[("x/y/up", "../.."), ("t", "x/y/up/..")]), ["t"]);
        assert_eq!(out(&[("a", "b"), ("b", "c"), ("c", "/")]), ["a", "b", "c"]);
    }

    #[test]
    fn circles_end() {
        assert_eq!(out(&[("a", "b"), ("b", "a"), ("s", "s/s/s")]), Vec::<String>::new());
    }
}
