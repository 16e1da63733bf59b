//! The catalogue of managed runtimes as data (row S3): names, wire names, versions, base images.

use super::error::Invalid;
use super::names::RuntimeName;
use super::service::VersionLock;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// The language that a runtime is for: decides which interpreters are looked for and how a build is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Python, with a virtual environment.
    Python,
    /// Node.js.
    Node,
    /// Java (Corretto).
    Java,
    /// Go.
    Go,
    /// .NET.
    Dotnet,
    /// PHP.
    Php,
    /// Ruby.
    Ruby,
}

/// One managed runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Runtime {
    /// The name in files: `python3`.
    pub name: RuntimeName,
    /// The name on the wire: `PYTHON_3`. `None` for names of ours.
    #[serde(default)]
    pub wire: Option<String>,
    /// Its language.
    pub language: Language,
    /// The `major.minor` (or `major` where minors do not matter) that it offers, the newest first.
    pub versions: Vec<VersionLock>,
    /// The base image for the Docker engine; `{version}` stands for the chosen version.
    pub image: String,
}

/// All runtimes that an installation offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The runtimes.
    pub runtimes: Vec<Runtime>,
}

/// The image of a runtime; `{version}` in it stands for a version.
///
/// # Errors
/// For what looks like an option, or holds spaces or quotes.
pub fn parse_runtime_image(image: &str) -> Result<String, Invalid> {
    let plain = (1..=512).contains(&image.len())
        && !image.starts_with('-')
        && image.bytes().all(|b| b.is_ascii_graphic() && !b"\"'`$\\".contains(&b));
    if plain { Ok(image.to_owned()) } else { Err(Invalid::new("that is not the name of an image")) }
}

impl Runtime {
    /// Whether a lock is one of this runtime's versions: equal as far as both say (row S4).
    pub fn accepts(&self, lock: &VersionLock) -> bool {
        self.versions.iter().any(|v| v.0.iter().zip(&lock.0).all(|(a, b)| a == b))
    }
}

impl Catalogue {
    /// The catalogue that is compiled in: every name that App Runner has, and newer ones of ours.
    pub fn builtin() -> Self {
        // A test reads it: the text is part of this binary.
        serde_json::from_str(include_str!("runtimes.json")).unwrap_or(Self { runtimes: Vec::new() })
    }

    /// The runtime of this name.
    pub fn find(&self, name: &RuntimeName) -> Option<&Runtime> {
        self.runtimes.iter().find(|r| &r.name == name)
    }

    /// The runtime of this name on the wire: `PYTHON_3`.
    pub fn find_wire(&self, wire: &str) -> Option<&Runtime> {
        self.runtimes.iter().find(|r| r.wire.as_deref() == Some(wire))
    }

    /// The runtime that a name which does not exist most likely means: `python3.11`, `node18`, `java17`, `pyhton3`.
    /// `None` when nothing is near.
    pub fn nearest(&self, text: &str) -> Option<&RuntimeName> {
        // A longer name is no slip of the pen, and distances cost its length.
        let bare: String = bare(text.get(..text.len().min(64))?);
        let equal = self.runtimes.iter().find(|r| self::bare(r.name.as_str()) == bare);
        equal.or_else(|| self.of_language(&bare, text)).or_else(|| self.mistyped(&bare)).map(|r| &r.name)
    }

    /// The runtime of a language that offers this lock, the newest one if several do.
    pub fn offering(&self, language: Language, lock: &VersionLock) -> Option<&Runtime> {
        self.runtimes.iter().filter(|r| r.language == language && r.accepts(lock)).max_by_key(|r| r.versions.first())
    }

    /// The runtime of the language that the name begins with, whose version is nearest to the number it ends with.
    fn of_language(&self, bare: &str, text: &str) -> Option<&Runtime> {
        let word = bare.trim_end_matches(|c: char| c.is_ascii_digit());
        let language = Language::of_word(word)?;
        let digits = &bare[word.len()..];
        let dotted = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let wanted = if dotted.contains('.') { version_of(dotted) } else { language.version_of_digits(digits) };
        let of_it = self.runtimes.iter().filter(|r| r.language == language);
        match wanted {
            Some(wanted) => of_it.min_by_key(|r| (r.distance(wanted), Reverse(r.versions.first()))),
            None => of_it.max_by_key(|r| r.versions.first()),
        }
    }

    fn mistyped(&self, bare: &str) -> Option<&Runtime> {
        let distance = |r: &&Runtime| strsim::damerau_levenshtein(bare, r.name.as_str());
        self.runtimes.iter().min_by_key(distance).filter(|r| distance(r) <= 2)
    }
}

impl Runtime {
    /// How far its nearest version is from a wanted one: majors count first.
    fn distance(&self, (major, minor): (u32, Option<u32>)) -> u32 {
        let far = |lock: &VersionLock| {
            let part = |at: usize| lock.0.get(at).copied();
            let minors = minor.zip(part(1)).map_or(0, |(a, b)| a.abs_diff(b));
            part(0).unwrap_or(0).abs_diff(major).saturating_mul(1000).saturating_add(minors)
        };
        self.versions.iter().map(far).min().unwrap_or(u32::MAX)
    }
}

impl Language {
    /// The language that people mean by a word, in lower case without separators.
    fn of_word(word: &str) -> Option<Self> {
        match word {
            "python" | "py" | "cpython" => Some(Self::Python),
            "nodejs" | "node" | "javascript" | "typescript" => Some(Self::Node),
            "corretto" | "java" | "openjdk" | "jdk" | "amazoncorretto" => Some(Self::Java),
            "go" | "golang" => Some(Self::Go),
            "dotnet" | "net" | "dotnetcore" | "aspnet" | "csharp" => Some(Self::Dotnet),
            "php" => Some(Self::Php),
            "ruby" => Some(Self::Ruby),
            _ => None,
        }
    }

    /// The version that the digits of a name stand for: `311` is 3.11 of Python, `18` is 18 of Node.
    fn version_of_digits(self, digits: &str) -> Option<(u32, Option<u32>)> {
        let split = matches!(self, Self::Python | Self::Php | Self::Ruby | Self::Go) && digits.len() > 1;
        if split { version_of(&format!("{}.{}", &digits[..1], &digits[1..])) } else { version_of(digits) }
    }
}

/// Major and minor of a text that begins with them.
fn version_of(text: &str) -> Option<(u32, Option<u32>)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next().flatten()))
}

/// A name without case and separators, for comparing.
pub(crate) fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_of_app_runner_is_in_the_catalogue() {
        let catalogue = Catalogue::builtin();
        let names = "python3 PYTHON_3 python311 PYTHON_311 nodejs12 NODEJS_12 nodejs14 NODEJS_14 nodejs16 NODEJS_16 \
                     nodejs18 NODEJS_18 nodejs22 NODEJS_22 corretto8 CORRETTO_8 corretto11 CORRETTO_11 go1 GO_1 \
                     dotnet6 DOTNET_6 php81 PHP_81 ruby31 RUBY_31";
        let names: Vec<&str> = names.split_whitespace().collect();
        for pair in names.chunks(2) {
            assert_eq!(catalogue.find_wire(pair[1]).unwrap().name.as_str(), pair[0]);
        }
        assert_eq!(catalogue.runtimes.iter().filter(|r| r.wire.is_some()).count(), names.len() / 2);
    }

    #[test]
    fn every_runtime_is_complete_and_stands_once() {
        let catalogue = Catalogue::builtin();
        for (at, runtime) in catalogue.runtimes.iter().enumerate() {
            assert_eq!(catalogue.runtimes.iter().position(|r| r.name == runtime.name), Some(at), "{}", runtime.name);
            assert!(runtime.versions.is_sorted_by(|a, b| a > b) && !runtime.versions.is_empty(), "{}", runtime.name);
            assert!(runtime.image.contains("{version}"), "{}", runtime.name);
            assert_eq!(catalogue.nearest(runtime.name.as_str()), Some(&runtime.name));
        }
    }

    #[test]
    fn a_runtime_that_does_not_exist_has_a_nearest_one() {
        let catalogue = Catalogue::builtin();
        for (text, name) in [
            ("python3.11", "python311"),
            ("PYTHON_3", "python3"),
            ("Python 3.8", "python3"),
            ("python3.9", "python310"),
            ("python39", "python310"),
            ("python", "python313"),
            ("python2", "python313"),
            ("pyhton3", "python3"),
            ("node18", "nodejs18"),
            ("nodejs18.x", "nodejs18"),
            ("nodejs19", "nodejs20"),
            ("java17", "corretto17"),
            ("golang", "go1"),
            ("go1.21", "go1"),
            (".net8", "dotnet8"),
            ("ruby3.2", "ruby33"),
        ] {
            assert_eq!(catalogue.nearest(text).map(RuntimeName::as_str), Some(name), "{text}");
        }
        for text in ["docker", "", "rust1", "latest", "é", &"x".repeat(1000)] {
            assert_eq!(catalogue.nearest(text), None, "{text}");
        }
    }

    #[test]
    fn a_lock_belongs_to_the_runtime_whose_minors_have_it() {
        let catalogue = Catalogue::builtin();
        let python3 = catalogue.find(&"python3".parse().unwrap()).unwrap();
        for (lock, accepted) in
            [("3", true), ("3.8", true), ("3.8.16", true), ("3.7.7", true), ("3.11", false), ("2", false)]
        {
            assert_eq!(python3.accepts(&lock.parse().unwrap()), accepted, "{lock}");
        }
        let offering = catalogue.offering(Language::Python, &"3.11.4".parse().unwrap()).unwrap();
        assert_eq!(offering.name.as_str(), "python311");
        assert!(catalogue.offering(Language::Node, &"3.11".parse().unwrap()).is_none());
    }
}
