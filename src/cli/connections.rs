//! `towpath connections`: access to private repositories. Secrets come from files or standard input, never from arguments,
//! which others on the machine can read.

use super::client::Client;
use super::failure::Failure;
use super::screen::{Cell, Screen, Tone, cell, short_span, table};
use crate::model::{HostUrl, Provider, RepositoryUrl, Timestamp};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The longest secret: a private key has some thousand bytes.
const LONGEST_SECRET: u64 = 64 << 10;
/// How long a person has for the pages of GitHub.
const BROWSING: Duration = Duration::from_secs(3600);
const LOOK: Duration = Duration::from_secs(2);

/// What is done with connections.
#[derive(Debug, Subcommand)]
pub enum ConnectionsCommand {
    /// List connections with their status
    List,
    /// Make a connection; its handshake makes it available
    Create(CreateArgs),
    /// Show one connection: how it gets in, and which services use it
    Describe(Named),
    /// Delete a connection that no service uses
    Delete(Named),
    /// Complete the handshake: give a token, a password or a key, or make a GitHub App in a browser
    Handshake(Box<HandshakeArgs>),
}

/// A connection.
#[derive(Debug, Args)]
pub struct Named {
    /// The connection's name
    pub name: String,
}

/// `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The connection's name: 4 to 32 characters
    pub name: String,
    /// Who keeps the repositories: GITHUB, BITBUCKET, or GIT for every other server
    #[arg(long, value_name = "PROVIDER", default_value = "GITHUB")]
    pub provider: Provider,
    /// The server, where it is not the provider's own
    #[arg(long, value_name = "URL")]
    pub url: Option<HostUrl>,
}

/// `handshake`. Without any of the ways in, a GitHub App is made in a browser.
#[derive(Debug, Args)]
pub struct HandshakeArgs {
    /// The connection's name
    pub name: String,
    /// A file that holds a token; - is standard input
    #[arg(long, value_name = "FILE", group = "way")]
    pub token: Option<PathBuf>,
    /// A file that holds the password of --username; - is standard input
    #[arg(long, value_name = "FILE", group = "way", requires = "username")]
    pub password: Option<PathBuf>,
    /// The user name that goes with the password
    #[arg(long, value_name = "NAME", requires = "password")]
    pub username: Option<String>,
    /// A file that holds a private key for ssh; - is standard input
    #[arg(long, value_name = "FILE", group = "way")]
    pub ssh_key: Option<PathBuf>,
    /// Make a key, keep it, and print its public half, to be added as a deploy key
    #[arg(long, group = "way")]
    pub generate_key: bool,
    /// Use the key that was made with --generate-key
    #[arg(long, group = "way", requires = "repository")]
    pub generated_key: bool,
    /// The private key of a GitHub App that is there already; - is standard input
    #[arg(long, value_name = "FILE", group = "way", requires = "app_id")]
    pub app_key: Option<PathBuf>,
    /// The id of that App
    #[arg(long, value_name = "ID", requires = "app_key")]
    pub app_id: Option<u64>,
    /// Where that App is installed, if it is more than once
    #[arg(long, value_name = "ID", requires = "app_key")]
    pub installation: Option<u64>,
    /// A private repository that it is tried on
    #[arg(long, value_name = "URL")]
    pub repository: Option<RepositoryUrl>,
    /// The server, where it is not the provider's own
    #[arg(long, value_name = "URL")]
    pub url: Option<HostUrl>,
    /// The organisation that is to own the GitHub App that is made
    #[arg(long, value_name = "NAME", conflicts_with = "way")]
    pub organization: Option<String>,
    /// Where your browser reaches towpath's API [default: its own address]
    #[arg(long, value_name = "URL", conflicts_with = "way")]
    pub listener: Option<HostUrl>,
}

/// Does something with connections.
pub async fn connections(screen: &Screen, client: &Client, command: &ConnectionsCommand) -> Result<(), Failure> {
    match command {
        ConnectionsCommand::List => list(screen, client).await,
        ConnectionsCommand::Create(args) => create(screen, client, args).await,
        ConnectionsCommand::Describe(args) => show(screen, &find(client, &args.name).await?),
        ConnectionsCommand::Delete(args) => delete(screen, client, &args.name).await,
        ConnectionsCommand::Handshake(args) => handshake(screen, client, args).await,
    }
}

async fn described(client: &Client, name: Option<&str>) -> Result<Vec<Value>, Failure> {
    let answer: Value = client.call("Towpath.DescribeConnections", &json!({ "ConnectionName": name })).await?;
    Ok(answer["Connections"].as_array().cloned().unwrap_or_default())
}

async fn find(client: &Client, name: &str) -> Result<Value, Failure> {
    let found = described(client, Some(name)).await?.into_iter().next();
    found.ok_or_else(|| Failure::new(format!("there is no connection `{name}`")))
}

async fn list(screen: &Screen, client: &Client) -> Result<(), Failure> {
    let all = described(client, None).await?;
    if screen.is_json() {
        return screen.print_json(&all);
    }
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    screen.print(&table(screen, &["NAME", "PROVIDER", "SERVER", "STATUS", "BY", "AGE"], &rows))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or("-")
}

fn row(one: &Value) -> Vec<Cell> {
    let status = text(one, "Status");
    let tone = if status == "AVAILABLE" { Tone::Good } else { Tone::Notice };
    vec![
        cell(text(one, "ConnectionName")),
        cell(text(one, "ProviderType")),
        cell(text(one, "Url")),
        (tone, status.to_owned()),
        cell(text(one, "Entrance")),
        (Tone::Quiet, short_span(Timestamp::now().since(moment(&one["CreatedAt"])))),
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "a moment in milliseconds is far from the edge of 64 bits")]
fn moment(seconds: &Value) -> Timestamp {
    Timestamp((seconds.as_f64().unwrap_or_default() * 1000.0) as i64)
}

/// What is shown of one, and under which name.
const SHOWN: [(&str, &str); 10] = [
    ("name", "ConnectionName"),
    ("ARN", "ConnectionArn"),
    ("provider", "ProviderType"),
    ("server", "Url"),
    ("status", "Status"),
    ("by", "Entrance"),
    ("user name", "Username"),
    ("App", "AppId"),
    ("installation", "Installation"),
    ("declared at", "DeclaredAt"),
];

fn show(screen: &Screen, one: &Value) -> Result<(), Failure> {
    if screen.is_json() {
        return screen.print_json(one);
    }
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let there = SHOWN.iter().filter(|(_, member)| !one[*member].is_null());
    let mut shown: String = there.map(|(name, member)| format!("{name:<13} {}\n", plain(&one[*member]))).collect();
    if let Some(public) = one["PublicKey"].as_str().filter(|public| !public.is_empty()) {
        shown.push_str(&format!("{:<13} {public}\n", "public key"));
    }
    let services: Vec<&str> = one["Services"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let services = if services.is_empty() { "-".to_owned() } else { services.join(", ") };
    shown.push_str(&format!("{:<13} {services}\n", "used by"));
    screen.print(&shown)
}

async fn create(screen: &Screen, client: &Client, args: &CreateArgs) -> Result<(), Failure> {
    let CreateArgs { name, provider, url } = args;
    let input = json!({ "ConnectionName": name, "ProviderType": provider.as_str(), "Url": url });
    let answer: Value = client.call("Towpath.CreateConnection", &input).await?;
    if screen.is_json() {
        return screen.print_json(&answer["Connection"]);
    }
    screen.print(&format!(
        "connection {name} is PENDING_HANDSHAKE\ncomplete it with `towpath connections handshake {name}`\n"
    ))
}

async fn delete(screen: &Screen, client: &Client, name: &str) -> Result<(), Failure> {
    let found = find(client, name).await?;
    let input = json!({ "ConnectionArn": found["ConnectionArn"] });
    let answer: Value = client.call("AppRunner.DeleteConnection", &input).await?;
    if screen.is_json() {
        screen.print_json(&answer["Connection"])
    } else {
        screen.print(&format!("connection {name} is deleted\n"))
    }
}

async fn handshake(screen: &Screen, client: &Client, args: &HandshakeArgs) -> Result<(), Failure> {
    let ways = [("token", &args.token), ("basic", &args.password), ("sshKey", &args.ssh_key), ("app", &args.app_key)];
    let given = ways.into_iter().find_map(|(kind, file)| Some((kind, file.as_ref()?)));
    match given {
        Some((kind, file)) => complete(screen, client, args, kind, Some(secret(file)?)).await,
        None if args.generated_key => complete(screen, client, args, "sshKey", None).await,
        None if args.generate_key => make_key(screen, client, args).await,
        None => browse(screen, client, args).await,
    }
}

/// A secret from a file or standard input.
fn secret(file: &Path) -> Result<String, Failure> {
    let failed =
        |error: std::io::Error| Failure::caused(format!("failed to read the secret from `{}`", file.display()), &error);
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().lock().take(LONGEST_SECRET + 1).read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|file| file.take(LONGEST_SECRET + 1).read_to_string(&mut text)),
    };
    match read.map_err(failed)? {
        0 => Err(Failure::new(format!("`{}` holds nothing", file.display()))),
        length if length as u64 > LONGEST_SECRET => {
            Err(Failure::new(format!("`{}` is no secret: it has more than {LONGEST_SECRET} bytes", file.display())))
        }
        _ => Ok(text),
    }
}

async fn complete(
    screen: &Screen,
    client: &Client,
    args: &HandshakeArgs,
    kind: &str,
    secret: Option<String>,
) -> Result<(), Failure> {
    let input = json!({
        "ConnectionName": args.name, "Url": args.url, "Kind": kind, "Username": args.username, "Secret": secret,
        "AppId": args.app_id, "Installation": args.installation, "Repository": args.repository,
    });
    let answer: Value = client.call("Towpath.CompleteHandshake", &input).await?;
    told(screen, &answer["Connections"][0])
}

fn told(screen: &Screen, one: &Value) -> Result<(), Failure> {
    if screen.is_json() {
        return screen.print_json(one);
    }
    screen.print(&format!("connection {} is {}\n", text(one, "ConnectionName"), text(one, "Status")))
}

async fn make_key(screen: &Screen, client: &Client, args: &HandshakeArgs) -> Result<(), Failure> {
    let input = json!({ "ConnectionName": args.name, "Url": args.url });
    let answer: Value = client.call("Towpath.CreateDeployKey", &input).await?;
    if screen.is_json() {
        return screen.print_json(&answer);
    }
    screen.print(&format!("{}\n", text(&answer, "PublicKey")))?;
    screen.note(&format!(
        "add it to the repository as a deploy key that may read, then: `towpath connections handshake {} --generated-key \
         --repository git@HOST:OWNER/NAME.git`",
        args.name
    ));
    Ok(())
}

/// Makes a GitHub App in a browser, and waits for it.
async fn browse(screen: &Screen, client: &Client, args: &HandshakeArgs) -> Result<(), Failure> {
    let input = json!({
        "ConnectionName": args.name, "Url": args.url, "Organization": args.organization, "Listener": args.listener,
    });
    let answer: Value = client.call("Towpath.BeginHandshake", &input).await?;
    if screen.is_json() {
        return screen.print_json(&answer);
    }
    screen.print(&format!("open this in your browser, and follow GitHub:\n\n  {}\n\n", text(&answer, "BrowserUrl")))?;
    let end = Instant::now() + BROWSING;
    while Instant::now() < end {
        tokio::time::sleep(LOOK).await;
        let one = find(client, &args.name).await?;
        if one["Status"] == "AVAILABLE" {
            return told(screen, &one);
        }
    }
    Err(Failure::new("the handshake was not completed within an hour").hint("begin it again"))
}
