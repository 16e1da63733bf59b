use super::users::DEFAULT_FIRST;
use super::view::View;
use super::walls::Walls;
use super::{Jail, policy};

#[test]
fn a_jail_survives_being_written_down() {
    let view =
        View { placed: vec![("/a".into(), "/tmp".into())], covered: vec!["/b".into()], shown: vec!["/b/c".into()] };
    let walls = Walls { read: vec!["/b".into()], write: vec!["/a".into()] };
    let jail = Jail { user: Some(DEFAULT_FIRST), view: Some(view), walls: Some(walls), largest_file: Some(7) };
    let text = serde_json::to_string(&jail).unwrap();
    assert_eq!(serde_json::from_str::<Jail>(&text).unwrap(), jail);
}

#[test]
fn what_is_needed_below_what_is_covered_is_shown_and_the_rest_of_it_is_not() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap();
    let data = dir.path().canonicalize().unwrap();
    for path in ["builds/a", "builds/b", "instances/i/disk/tmp"] {
        std::fs::create_dir_all(data.join(path)).unwrap();
    }
    let needs = policy::Needs {
        read: vec!["/usr/lib".into()],
        write: vec![data.join("builds/a"), data.join("instances/i/disk/tmp")],
        temporary: data.join("instances/i/disk/tmp"),
        user: Some(DEFAULT_FIRST),
        ..policy::Needs::default()
    };
    let jail = policy::everything(&data).jail(&needs);
    let view = jail.view.unwrap();
    assert_eq!(view.shown, [data.join("builds/a"), data.join("instances/i/disk/tmp")]);
    assert!(view.covered.iter().any(|covered| data.starts_with(covered)), "{view:?}");
    assert_eq!(jail.walls.unwrap().read, [std::path::PathBuf::from("/usr/lib")]);
}
