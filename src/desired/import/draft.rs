//! A service of the manifest while it is put together, with the notes about it.

use super::FILL_IN;
use super::field::{Field, Members};
use super::note::{Note, Outcome};
use super::place::About;
use super::scaling::Scaled;
use crate::desired::export::text::Yaml;
use crate::model::ServiceName;

/// One service.
#[derive(Debug)]
pub(super) struct Draft {
    /// Its name in the manifest.
    pub(super) name: String,
    about: About,
    /// The key `source`.
    pub(super) source: Yaml,
    /// The key `build`; nothing for an image.
    pub(super) build: Yaml,
    /// The key `port`, if it is not the default.
    pub(super) port: Option<u16>,
    /// The key `instance`.
    pub(super) instance: Yaml,
    /// The key `env`.
    pub(super) env: Yaml,
    /// The key `secrets`.
    pub(super) secrets: Yaml,
    /// The key `health`.
    pub(super) health: Yaml,
    /// The key `autoscaling`.
    pub(super) scaling: Scaled,
    /// The key `tags`.
    pub(super) tags: Yaml,
    /// Comments above it.
    pub(super) remarks: Vec<String>,
    /// What became of its members.
    pub(super) notes: Vec<Note>,
}

impl Draft {
    /// Nothing but a name, which is made to fit.
    pub(super) fn new(name: &str, file: &str) -> Self {
        let name = fitting(name);
        let about = About { file: file.to_owned(), service: Some(name.clone()) };
        Self {
            name,
            about,
            source: Yaml::new(),
            build: Yaml::new(),
            port: None,
            instance: Yaml::new(),
            env: Yaml::new(),
            secrets: Yaml::new(),
            health: Yaml::new(),
            scaling: Scaled::Default,
            tags: Yaml::new(),
            remarks: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// It is in the manifest, or as it is without a word.
    pub(super) fn carried(&mut self, field: &Field) {
        self.notes.push(self.about.note(field, Outcome::Carried));
    }

    /// It is a fact about the resource at AWS.
    pub(super) fn not_needed(&mut self, field: &Field) {
        self.notes.push(self.about.note(field, Outcome::NotNeeded));
    }

    /// It is in the manifest, but not as it was.
    pub(super) fn changed(&mut self, field: &Field, why: impl Into<String>, todo: impl Into<String>) {
        self.notes.push(self.about.told(field, Outcome::Changed, why, todo));
    }

    /// It is not in the manifest.
    pub(super) fn left_out(&mut self, field: &Field, why: impl Into<String>, todo: impl Into<String>) {
        self.notes.push(self.about.told(field, Outcome::LeftOut, why, todo));
    }

    /// A person has to do something before the service can run. Stands above the service, too.
    pub(super) fn missing(&mut self, field: &Field, why: impl Into<String>, todo: impl Into<String>) {
        let note = self.about.told(field, Outcome::Missing, why, todo);
        self.remarks.push(format!("{}: {}", note.short(), note.why.as_deref().unwrap_or_default()));
        self.remarks.extend(note.todo.iter().map(|todo| format!("  {todo}")));
        self.notes.push(note);
    }

    /// As [`Draft::missing`], where the manifest says it at the place itself.
    pub(super) fn missing_in_place(&mut self, field: &Field, why: impl Into<String>, todo: impl Into<String>) {
        self.notes.push(self.about.told(field, Outcome::Missing, why, todo));
    }

    /// What nobody took is said.
    pub(super) fn rest(&mut self, members: Members) {
        for (_, field) in members.rest() {
            self.left_out(&field, "this version of `towpath import` does not know it", "look at what it does");
        }
    }

    /// A mapping's members; anything else is said and left out.
    pub(super) fn members<'n>(&mut self, field: &Field<'n>) -> Option<Members<'n>> {
        let members = field.members();
        if members.is_none() {
            self.unusable(field, "settings");
        }
        members
    }

    /// A text, a number or a word; anything else is said and left out.
    pub(super) fn text<'n>(&mut self, field: &Field<'n>) -> Option<&'n str> {
        let text = field.text();
        if text.is_none() {
            self.unusable(field, "a text");
        }
        text
    }

    /// A text that the service cannot do without: what stands for it where it is not known.
    pub(super) fn needed(&mut self, field: &Field) -> Option<String> {
        if let Some(text) = field.text() {
            return Some(text.to_owned());
        }
        match field.unresolved() {
            Some((written, why)) => self.missing(field, format!("was `{written}`: {why}"), ""),
            None => self.missing(field, format!("is {}, not a text", field.node.describe()), ""),
        }
        None
    }

    fn unusable(&mut self, field: &Field, wanted: &str) {
        match field.unresolved() {
            Some((written, why)) => self.left_out(field, format!("was `{written}`"), why),
            None => self.left_out(field, format!("is {}, not {wanted}", field.node.describe()), "correct it"),
        }
    }

    /// A value that is written if it fits, and said where it does not.
    pub(super) fn value<T>(&mut self, field: &Field, wanted: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(field)?;
        let value = read(text);
        match &value {
            Some(_) => self.carried(field),
            None => self.left_out(field, format!("`{}` is not {wanted}", shortened(text)), "the default holds"),
        }
        value
    }

    /// Another name than the one it had.
    pub(super) fn rename(&mut self, old: &str, name: &str, why: &str) {
        self.name = name.to_owned();
        self.remarks.insert(0, format!("was `{old}`: {why}"));
        self.about.service = Some(name.to_owned());
        self.notes.iter_mut().for_each(|note| note.service = Some(name.to_owned()));
        let renamed = Note {
            file: self.about.file.clone(),
            line: None,
            service: self.about.service.clone(),
            field: "name".to_owned(),
            outcome: Outcome::Changed,
            why: Some(format!("`{old}` is `{name}` here: {why}")),
            todo: None,
        };
        self.notes.push(renamed);
    }

    /// Its settings as the manifest has them.
    pub(super) fn yaml(&self, is_shared: impl Fn(&str) -> bool) -> Yaml {
        let mut yaml = Yaml::new();
        yaml.put("source", self.source.clone());
        yaml.put_some("build", self.build.clone());
        if let Some(port) = self.port {
            yaml.put("port", Yaml::plain(port));
        }
        yaml.put_some("instance", self.instance.clone());
        yaml.put_some("env", self.env.clone());
        yaml.put_some("secrets", self.secrets.clone());
        yaml.put_some("health", self.health.clone());
        yaml.put_some("autoscaling", self.scaling.yaml(is_shared));
        yaml.put_some("tags", self.tags.clone());
        yaml
    }

    /// A source that only a person knows.
    pub(super) fn source_to_fill_in(&mut self) {
        self.source = Yaml::map([("repository", Yaml::text(format!("https://example.com/{FILL_IN}")))]);
    }
}

/// A name that towpath takes: 4 to 40 letters, digits, `-` and `_`, a letter or digit first.
pub(super) fn fitting(name: &str) -> String {
    if name.parse::<ServiceName>().is_ok() {
        return name.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let plain: String = name.chars().map(plain).collect();
    let plain: String = plain.trim_matches(['-', '_']).chars().take(40).collect();
    match plain.len() {
        0 => "service".to_owned(),
        1..4 => format!("{plain}-service"),
        _ => plain,
    }
}

/// The beginning of a text, printable.
pub(super) fn shortened(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{}{more}", short.escape_debug())
}
