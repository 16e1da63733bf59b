//! The published model's facts about requests, read from a table: which members each operation takes, and what each
//! has to be. `model.txt` says it in lines: `operation NAME ERRORS…` and `structure NAME`, each followed by its members
//! (`!` marks required ones) with their shapes; `string NAME MIN..MAX CLASS`, `enum`, `integer`, `boolean`, `list`, `map`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The table, read once.
pub(super) static MODEL: LazyLock<Model> = LazyLock::new(|| Model::read(include_str!("model.txt")));

/// All operations and shapes.
#[derive(Debug, Default)]
pub(super) struct Model {
    operations: HashMap<&'static str, Operation>,
    shapes: HashMap<&'static str, Shape>,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// Its name.
    pub name: &'static str,
    /// The members of its input.
    pub members: Vec<Member>,
    /// Which errors it may end with beside `InvalidRequestException` and `InternalServiceErrorException`: `missing`
    /// (`ResourceNotFoundException`), `state` (`InvalidStateException`), `quota` (`ServiceQuotaExceededException`).
    pub errors: Vec<&'static str>,
}

/// A member of a structure.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name.
    pub name: &'static str,
    /// Whether it has to be there.
    pub required: bool,
    /// Its shape's name.
    pub shape: &'static str,
}

/// From a lowest to a highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    /// The lowest.
    pub least: Option<i64>,
    /// The highest.
    pub most: Option<i64>,
}

/// What a value has to be.
#[derive(Debug)]
pub(super) enum Shape {
    /// An object with these members.
    Structure(Vec<Member>),
    /// A list of this shape.
    List(&'static str),
    /// A map from one shape to another.
    Map(&'static str, &'static str),
    /// One of these words.
    Enum(Vec<&'static str>),
    /// A string of so many characters, of a class (`super::classes`).
    String(Range, Option<&'static str>),
    /// A whole number.
    Integer(Range),
    /// `true` or `false`.
    Boolean,
}

impl Model {
    /// The operation of this name.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }

    /// The shape of this name. A test looks that each that is named is there.
    pub fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.get(name)
    }

    fn read(text: &'static str) -> Self {
        let mut model = Self::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let mut members = Vec::new();
            while let Some(member) = lines.next_if(|line| line.starts_with("  ")) {
                members.extend(read_member(member));
            }
            model.take(line, members);
        }
        model
    }

    fn take(&mut self, line: &'static str, members: Vec<Member>) {
        let mut words = line.split(' ');
        let (Some(kind), Some(name)) = (words.next(), words.next()) else { return };
        let rest: Vec<&'static str> = words.collect();
        let word = |at: usize| rest.get(at).copied().unwrap_or_default();
        let shape = match kind {
            "operation" => {
                self.operations.insert(name, Operation { name, members, errors: rest });
                return;
            }
            "structure" => Shape::Structure(members),
            "list" => Shape::List(word(0)),
            "map" => Shape::Map(word(0), word(1)),
            "enum" => Shape::Enum(rest),
            "integer" => Shape::Integer(read_range(word(0)).unwrap_or_default()),
            "boolean" => Shape::Boolean,
            _ => {
                let range = rest.first().and_then(|word| read_range(word));
                let class = rest.iter().find(|word| read_range(word).is_none()).copied();
                Shape::String(range.unwrap_or_default(), class)
            }
        };
        self.shapes.insert(name, shape);
    }
}

fn read_member(line: &'static str) -> Option<Member> {
    let (name, shape) = line.trim().split_once(' ')?;
    let plain = name.trim_end_matches('!');
    Some(Member { name: plain, required: plain != name, shape })
}

fn read_range(word: &str) -> Option<Range> {
    let (least, most) = word.split_once("..")?;
    Some(Range { least: least.parse().ok(), most: most.parse().ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_operation_and_every_shape_that_it_names() {
        assert_eq!(MODEL.operations.len(), 37);
        let of_structures = MODEL.shapes.values().filter_map(|shape| match shape {
            Shape::Structure(members) => Some(members),
            _ => None,
        });
        let members = MODEL.operations.values().map(|o| &o.members).chain(of_structures).flatten();
        let named = members.map(|m| m.shape).chain(MODEL.shapes.values().flat_map(|shape| match shape {
            Shape::List(item) => vec![*item],
            Shape::Map(key, value) => vec![*key, *value],
            _ => Vec::new(),
        }));
        let unknown: Vec<&str> = named.filter(|name| MODEL.shape(name).is_none()).collect();
        assert_eq!(unknown, Vec::<&str>::new());
        for shape in MODEL.shapes.values() {
            if let Shape::String(_, Some(class)) = shape {
                assert!(super::super::classes::is_known(class), "{class}");
            }
        }
    }
}
