//! `towpath secrets`: values that are kept in git, encrypted. Needs no server; who knows the public key needs no access to
//! the installation either.

mod edit;
mod typed;

use super::args::Common;
use super::failure::Failure;
use super::screen::Screen;
use super::up::data_dir;
use crate::model::is_secret_name;
use crate::secrets::{Keyring, Recipient, SecretsError, encrypt, parse_recipient, stored_at};
use crate::settings::datadir::DataDir;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;

/// What is done with encrypted secrets.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Encrypt a value: typed without echo, or from standard input
    Encrypt(EncryptArgs),
    /// Keep a value that services ask for by its name, as App Runner's do: typed without echo, or from standard input
    Set(SetArgs),
    /// Change an encrypted value in the editor ($VISUAL, $EDITOR)
    Edit(EditArgs),
    /// Print the public key that secrets of this installation are encrypted to
    Recipient,
    /// Print all public keys of this installation, the current one first
    Recipients,
    /// Make a new key and encrypt to it from now on; the old ones go on decrypting
    Keygen,
}

/// `secrets encrypt`.
#[derive(Debug, Args)]
pub struct EncryptArgs {
    /// The secret's name: prints it as it is pasted under `secrets:` of the manifest
    pub name: Option<String>,
    /// A public key to encrypt to, in place of this installation's; repeatable
    #[arg(long, value_name = "KEY", value_parser = parse_recipient)]
    pub recipient: Vec<Recipient>,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub out: Option<PathBuf>,
}

/// `secrets set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The secret's name, such as `shop-db` or `prod/shop/db`
    pub name: String,
}

/// `secrets edit`.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// An encrypted file, or a manifest that holds the secret
    pub file: PathBuf,
    /// The secret's name, where the file is a manifest
    pub name: Option<String>,
    /// A further public key to encrypt to, beside this installation's; repeatable
    #[arg(long, value_name = "KEY", value_parser = parse_recipient)]
    pub recipient: Vec<Recipient>,
}

impl From<SecretsError> for Failure {
    fn from(error: SecretsError) -> Self {
        let failure = match std::error::Error::source(&error) {
            Some(source) => Self::caused(error.to_string(), source),
            None => Self::new(error.to_string()),
        };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Does it.
///
/// # Errors
/// Where keys, values or files are not as they should be.
pub fn secrets(screen: &Screen, common: &Common, command: &SecretsCommand) -> Result<(), Failure> {
    match command {
        SecretsCommand::Encrypt(args) => encrypt_value(screen, common, args),
        SecretsCommand::Set(args) => set(screen, common, &args.name),
        SecretsCommand::Edit(args) => edit::edit(screen, &keyring(common)?, args),
        SecretsCommand::Recipient => print_recipients(screen, &[keyring(common)?.recipient()]),
        SecretsCommand::Recipients => print_recipients(screen, &keyring(common)?.recipients()),
        SecretsCommand::Keygen => {
            let keyring = Keyring::rotate(&keys(common)?)?;
            screen.note("Secrets are encrypted to this key from now on; encrypt the old ones again before you remove an old key:");
            print_recipients(screen, &[keyring.recipient()])
        }
    }
}

fn keys(common: &Common) -> Result<PathBuf, Failure> {
    let prepared = DataDir::prepare(&data_dir(common)?);
    let failed = |e: crate::settings::datadir::DataDirError| {
        let failure = match std::error::Error::source(&e) {
            Some(source) => Failure::caused(e.to_string(), source),
            None => Failure::new(e.to_string()),
        };
        failure.hint(e.hint().unwrap_or_else(|| "encrypt with `--recipient age1…`".into()))
    };
    Ok(prepared.map_err(failed)?.secrets())
}

fn keyring(common: &Common) -> Result<Keyring, Failure> {
    Ok(Keyring::open(&keys(common)?)?)
}

fn print_recipients(screen: &Screen, recipients: &[Recipient]) -> Result<(), Failure> {
    let recipients: Vec<String> = recipients.iter().map(ToString::to_string).collect();
    if screen.is_json() {
        return screen.print_json(&recipients);
    }
    screen.print(&recipients.iter().map(|r| format!("{r}\n")).collect::<String>())
}

fn encrypt_value(screen: &Screen, common: &Common, args: &EncryptArgs) -> Result<(), Failure> {
    let recipients = match &args.recipient[..] {
        [] => vec![keyring(common)?.recipient()],
        given => given.to_vec(),
    };
    let sealed = encrypt(&recipients, &typed::value(screen)?)?;
    if let Some(out) = &args.out {
        return edit::replace(out, &sealed);
    }
    if screen.is_json() {
        return screen.print_json(&json!({ "secret": sealed }));
    }
    match &args.name {
        Some(name) => screen.print(&block(name, &sealed)),
        None => screen.print(&sealed),
    }
}

/// Keeps a value encrypted in the data directory.
fn set(screen: &Screen, common: &Common, name: &str) -> Result<(), Failure> {
    if !is_secret_name(name) {
        let hint = "a name has letters, digits and `_+=.@-`, with `/` between its parts, such as `prod/shop/db`";
        return Err(Failure::new(format!("`{}` is not a name of a secret", name.escape_debug())).hint(hint));
    }
    let directory = keys(common)?;
    let sealed = encrypt(&[Keyring::open(&directory)?.recipient()], &typed::value(screen)?)?;
    let file = stored_at(&directory, name);
    let failed = |e: std::io::Error| Failure::caused(format!("failed to write `{}`", file.display()), &e);
    std::fs::create_dir_all(file.parent().unwrap_or(&directory)).map_err(failed)?;
    edit::replace(&file, &sealed)?;
    screen.note(&format!("The secret `{name}` is kept. Instances that start from now on get it."));
    Ok(())
}

/// A secret as it stands under `secrets:`.
fn block(name: &str, sealed: &str) -> String {
    let lines: String = sealed.lines().map(|line| format!("    {line}\n")).collect();
    format!("  {name}: |\n{lines}")
}
