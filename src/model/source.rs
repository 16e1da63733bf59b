//! Where a service's code comes from. Untrusted text is parsed into these types at the door (house rule 9).

use super::connection::ConnectionName;
use super::cron::Poll;
use super::error::Invalid;
use super::host_rules::HostRules;
use super::image::{ImageName, RegistryCredentials};
use super::names::name;
use super::ssh_url::{self, SshTarget};
use super::time::Timestamp;
use super::track::{CommitPrefix, Reference, SourceDirectory, TagName, Track};
use super::verify::Verify;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// The source of a service: code (row S1), or an image (row S2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct CodeSource {
    /// The git repository.
    pub repository: RepositoryUrl,
    /// What of it is followed.
    pub track: Track,
    /// The private key that it is read with over ssh; the installation's if none.
    pub key: Option<PathBuf>,
    /// The connection of the manifest that it is read by, if one is named (row C1).
    pub connection: Option<ConnectionName>,
    /// Who pulls it, of an image that not everybody may pull.
    pub credentials: Option<Box<RegistryCredentials>>,
    /// Whether every new version is deployed by itself (row D1); true by default.
    pub auto_deploy: bool,
    /// What has to hold of a commit before it is deployed; nothing by default.
    pub verify: Option<Box<Verify>>,
    /// How often it is asked for new versions; as the installation says if none.
    pub poll: Option<Box<Poll>>,
    /// What is said to the repository's host, and waited for.
    pub host: HostRules,
}

/// A source as it is stored: flat, as the first version wrote it, so that what that version stored is read.
#[derive(Serialize, Deserialize)]
struct Written {
    repository: RepositoryUrl,
    branch: Option<BranchName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<TagName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<CommitPrefix>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<SourceDirectory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credentials: Option<Box<RegistryCredentials>>,
    auto_deploy: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verify: Option<Box<Verify>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    poll: Option<Box<Poll>>,
    #[serde(default, skip_serializing_if = "HostRules::is_default")]
    host: HostRules,
}

impl From<CodeSource> for Written {
    fn from(source: CodeSource) -> Self {
        let CodeSource { repository, track, key, connection, credentials, auto_deploy, verify, poll, host } = source;
        let Track { reference, directory } = track;
        let (branch, tag, commit) = (None, None, None);
        let mut written = Self {
            repository,
            branch,
            tag,
            commit,
            directory,
            key,
            connection,
            credentials,
            auto_deploy,
            verify,
            poll,
            host,
        };
        match reference {
            Reference::Default => {}
            Reference::Branch(branch) => written.branch = Some(branch),
            Reference::Tag(tag) => written.tag = Some(tag),
            Reference::Commit(commit) => written.commit = Some(commit),
        }
        written
    }
}

impl TryFrom<Written> for CodeSource {
    type Error = Invalid;
    fn try_from(written: Written) -> Result<Self, Invalid> {
        let Written {
            repository,
            branch,
            tag,
            commit,
            directory,
            key,
            connection,
            credentials,
            auto_deploy,
            verify,
            poll,
            host,
        } = written;
        let reference = match (branch, tag, commit) {
            (None, None, None) => Reference::Default,
            (Some(branch), None, None) => Reference::Branch(branch),
            (None, Some(tag), None) => Reference::Tag(tag),
            (None, None, Some(commit)) => Reference::Commit(commit),
            _ => return Err(Invalid::new("a source follows one of branch, tag and commit")),
        };
        Ok(Self {
            repository,
            track: Track { reference, directory },
            key,
            connection,
            credentials,
            auto_deploy,
            verify,
            poll,
            host,
        })
    }
}

/// How an image is stored where a repository stands; nobody writes it so.
const IMAGE_SCHEME: &str = "docker://";

/// A git repository: `https://…`, `http://…`, `ssh://…`, `git@host:path` or an absolute path (`file://` is read and
/// normalised to the path).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RepositoryUrl {
    /// Smart HTTP; the whole URL, without credentials.
    Http(String),
    /// Over ssh, in either form as written, without a password.
    Ssh(String),
    /// A repository on this machine, by absolute path.
    File(PathBuf),
    /// Images of a registry: a tag is followed like a branch, a digest stands for a commit (row S2).
    Image(ImageName),
}

impl std::str::FromStr for RepositoryUrl {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        // The value is not repeated in most of these messages: it may carry a password.
        let none = || {
            Invalid::new("this is not a repository URL")
                .hint("write it like `https://github.com/acme/hello`, without spaces")
        };
        if text.is_empty() || text.len() > 4096 || text.chars().any(char::is_control) {
            return Err(none());
        }
        if let Some(image) = text.strip_prefix(IMAGE_SCHEME) {
            return image.parse().map(Self::Image);
        }
        if let Some(path) = text.strip_prefix("file://") {
            return Self::file(path);
        }
        if text.starts_with('/') {
            return Self::file(text);
        }
        // A path may have spaces, as a relative one, which never comes here, may.
        if text.len() > 2048 || text.chars().any(char::is_whitespace) {
            return Err(none());
        }
        match text.split_once("://") {
            Some(("https" | "http", rest)) => Self::http(text, rest),
            Some(("ssh", _)) => ssh_url::check(text).map(|()| Self::Ssh(text.to_owned())),
            Some(("git", _)) => Err(Invalid::new("`git://` is not encrypted, and nobody's identity is checked")
                .hint("use the `https://` or `ssh://` URL of the repository")),
            Some((scheme, _)) => {
                Err(Invalid::new(format!("`{}` is not a protocol for repositories", scheme.escape_debug()))
                    .hint("use `https://…`, `ssh://…` or a path"))
            }
            None if ssh_url::is_short(text) => ssh_url::check(text).map(|()| Self::Ssh(text.to_owned())),
            None => Err(Invalid::new(format!("`{}` is not a repository URL", text.escape_debug()))
                .hint("write it like `https://github.com/acme/hello`, or as a path starting with `/` or `./`")),
        }
    }
}

impl RepositoryUrl {
    /// Who is talked to, of a repository over ssh.
    pub fn ssh_target(&self) -> Option<SshTarget<'_>> {
        match self {
            Self::Ssh(url) => ssh_url::target(url),
            Self::Http(_) | Self::File(_) | Self::Image(_) => None,
        }
    }

    /// Whether two URLs are of one repository, by whatever protocol and in whatever spelling: good enough to look there.
    pub fn same_place(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// Host and path, without what protocols and people write differently.
    fn place(&self) -> String {
        let (host, path) = match self {
            Self::File(path) => ("", path.to_string_lossy().into_owned()),
            // Beside all git hosts: an image is told of by its registry.
            Self::Image(image) => ("image:", image.to_string()),
            Self::Http(url) => {
                let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                // A port is a protocol's business.
                let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
                (host.map_or(authority, |(host, _)| host), path.to_owned())
            }
            Self::Ssh(url) => (ssh_url::target(url).map_or("", |t| t.host), ssh_url::path(url).to_owned()),
        };
        let path = path.trim_matches('/');
        format!("{host}/{}", path.strip_suffix(".git").unwrap_or(path)).to_ascii_lowercase()
    }

    fn file(path: &str) -> Result<Self, Invalid> {
        let path = std::path::Path::new(path);
        if !path.is_absolute() {
            return Err(
                Invalid::new("`file://` takes an absolute path").hint("write it like `file:///srv/git/hello.git`")
            );
        }
        Ok(Self::File(path.components().collect()))
    }

    fn http(text: &str, rest: &str) -> Result<Self, Invalid> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(Invalid::new("a repository URL must not carry a user name or password")
                .hint("take them out of the URL; credentials belong in a connection"));
        }
        if text.contains('?') || text.contains('#') {
            return Err(Invalid::new("a repository URL has no `?` or `#` part"));
        }
        if authority.is_empty() || path.trim_matches('/').is_empty() {
            return Err(Invalid::new(format!("`{}` names no repository", text.escape_debug()))
                .hint("write it like `https://github.com/acme/hello`"));
        }
        Ok(Self::Http(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) | Self::Ssh(url) => f.write_str(url),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Image(image) => write!(f, "{image}"),
        }
    }
}

impl TryFrom<String> for RepositoryUrl {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<RepositoryUrl> for String {
    fn from(url: RepositoryUrl) -> String {
        match url {
            RepositoryUrl::Image(image) => format!("{IMAGE_SCHEME}{image}"),
            url => url.to_string(),
        }
    }
}

name!(
    /// A branch: what `git check-ref-format --branch` allows, and never something that looks like an option.
    BranchName,
    |text| is_reference_name(text, "branch")
);

/// Whether git allows a name for a branch or a tag.
pub(super) fn is_reference_name(text: &str, kind: &str) -> Result<(), Invalid> {
    let bad = |why: &str| {
        // What somebody wrote to hurt may be long.
        let shown: String = text.chars().take(80).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        Err(Invalid::new(format!("`{}{more}` is not a {kind} name: {why}", shown.escape_debug())))
    };
    if text.is_empty() || text.len() > 255 {
        return bad("it has 1 to 255 characters");
    }
    if text.starts_with(['-', '/', '.']) || text.ends_with(['/', '.']) || text.ends_with(".lock") || text == "@" {
        return bad("it starts or ends with what git does not allow");
    }
    let sequences = ["..", "//", "@{", "/.", ".lock/"];
    if sequences.iter().any(|sequence| text.contains(sequence)) {
        return bad("it contains a sequence that git does not allow");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c)) {
        return bad("it contains a character that git does not allow");
    }
    Ok(())
}

name!(
    /// A commit id: 40 (SHA-1) or 64 (SHA-256) hex digits.
    CommitId,
    |text| {
        let fits = matches!(text.len(), 40 | 64)
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if fits { Ok(()) } else { Err(Invalid::new(format!("`{}` is not a commit id", text.escape_debug()))) }
    }
);

impl CommitId {
    /// The first seven digits, as git shows commits to people.
    pub fn short(&self) -> &str {
        &self.as_str()[..7]
    }
}

/// What stands for the tree of an image: no tree of git has such a name.
const IMAGE_TREE: &str = "sha256:";

/// One commit, as far as deployments speak of it; or one image, by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The commit.
    pub id: CommitId,
    /// The id of its tree: commits with equal trees build alike.
    pub tree: String,
    /// Author name, control characters removed, at most 100 characters.
    pub author: String,
    /// First line of the message, control characters removed, at most 200 characters.
    pub summary: String,
    /// When it was committed.
    pub time: Timestamp,
    /// Who signed it, where that was asked: the group of keys and the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

impl Commit {
    /// An image by its digest, as a version of its source.
    pub fn of_image(digest: CommitId, name: String, seen_at: Timestamp) -> Self {
        let tree = format!("{IMAGE_TREE}{digest}");
        Self { tree, id: digest, author: String::new(), summary: name, time: seen_at, signed_by: None }
    }

    /// Whether it is an image.
    pub fn is_image(&self) -> bool {
        self.tree.starts_with(IMAGE_TREE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_known_in_every_spelling() {
        let url = |text: &str| text.parse::<RepositoryUrl>().unwrap();
        let one = url("https://github.com/Acme/Shop");
        for same in
            ["https://github.com/acme/shop.git", "git@github.com:acme/shop.git", "ssh://git@github.com:22/acme/shop"]
        {
            assert!(one.same_place(&url(same)), "{same}");
        }
        for other in ["https://github.com/acme/shop2", "https://gitlab.com/acme/shop", "/acme/shop"] {
            assert!(!one.same_place(&url(other)), "{other}");
        }
        assert!(url("http://127.0.0.1:80/a/b.git").same_place(&url("http://127.0.0.1:8080/a/b")));
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_never_repeated() {
        let error = "https://me:hunter2@github.com/acme/hello".parse::<RepositoryUrl>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(error.hint.unwrap().contains("connection"));
    }

    #[test]
    fn branch_names_made_to_hurt_are_refused() {
        for bad in ["--upload-pack=x", "../..", "a..b", "a b", "a\nb", "x.lock", "a~1", "", "@{u}", "/a"] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
        }
        for bad in ["--upload-pack=touch /tmp/x", ";rm -rf /", "\u{1b}[31mred", "a\0b", &"x".repeat(4096)] {
            let refused = bad.parse::<BranchName>().unwrap_err().to_string();
            assert!(refused.len() < 250 && !refused.chars().any(char::is_control), "{refused}");
        }
        for good in ["main", "release/1.2", "feature-x", "a;rm"] {
            assert!(good.parse::<BranchName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_source_that_the_first_version_stored_is_read_and_every_source_survives_being_stored() {
        let old = r#"{"repository":"/srv/x","branch":"main","auto_deploy":true}"#;
        let source: CodeSource = serde_json::from_str(old).unwrap();
        assert_eq!(source.track, Reference::Branch("main".parse().unwrap()).into());
        assert_eq!(serde_json::to_string(&source).unwrap(), old);
        let references =
            [Reference::Default, Reference::Tag("v1".parse().unwrap()), Reference::Commit("3f2a91c".parse().unwrap())];
        for reference in references {
            let track = Track { reference, directory: Some("services/web".parse().unwrap()) };
            let (key, connection) = (Some("/etc/key".into()), Some("acme".parse().unwrap()));
            let source = CodeSource { track, key, connection, ..source.clone() };
            let text = serde_json::to_string(&source).unwrap();
            assert_eq!(serde_json::from_str::<CodeSource>(&text).unwrap(), source);
        }
        let both = r#"{"repository":"/srv/x","branch":"main","tag":"v1","auto_deploy":true}"#;
        assert!(serde_json::from_str::<CodeSource>(both).is_err());
    }

    #[test]
    fn a_path_with_spaces_is_read_again_after_it_was_stored() {
        let url = RepositoryUrl::File("/srv/my shop".into());
        let text = serde_json::to_string(&url).unwrap();
        assert_eq!(serde_json::from_str::<RepositoryUrl>(&text).unwrap(), url);
        assert!("https://example.com/my shop".parse::<RepositoryUrl>().is_err());
    }

    #[test]
    fn a_file_url_and_its_path_are_the_same_repository() {
        let a: RepositoryUrl = "file:///srv/git/x.git".parse().unwrap();
        assert_eq!(a, "/srv/git/x.git".parse().unwrap());
    }
}
