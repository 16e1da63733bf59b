//! Parses, runs, exits.
#![forbid(unsafe_code)]

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    if let (Some(command), Some(dir)) = (arguments.next(), arguments.next())
        && command == "shim"
    {
        std::process::exit(towpath::engine::process::shim::run(dir.as_ref()));
    }
}
