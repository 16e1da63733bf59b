//! The generated reference pages: what the code says. `TOWPATH_BLESS=1` writes them anew.

use crate::plan_scripts::hold;
use std::path::Path;
use towpath::desired::schema::manifest_reference;

#[test]
fn the_reference_pages_are_what_the_code_says() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let held = [
        hold(&pages.join("cli.md"), towpath::cli::reference()),
        hold(&pages.join("manifest.md"), manifest_reference()),
    ];
    let wrong: Vec<String> = held.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}\nwrite them anew with TOWPATH_BLESS=1, and read the difference", wrong.join("\n"));
}
