//! `towpath users`, `groups`, `roles`, `policies`, `keys`: who may call the API, and what they may.

use super::client::Client;
use super::failure::Failure;
use super::screen::{Cell, Screen, Tone, cell, short_span, table};
use crate::api::identities::{Listed, ListedKey, ListedPolicy, MadeKey};
use crate::model::Timestamp;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is done with users.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// List users with their policies and groups
    List,
    /// Make a user
    Create(CreateArgs),
    /// Remove a user and its access keys
    Delete(Named),
    /// Give a user a policy's rights
    Attach(PolicyArgs),
    /// Take a policy's rights from a user
    Detach(PolicyArgs),
    /// Keep all rights of a user within a policy; without one, no more
    Bound(BoundArgs),
    /// Put a user into a group
    Join(GroupArgs),
    /// Take a user out of a group
    Leave(GroupArgs),
}

/// What is done with groups.
#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// List groups with their policies
    List,
    /// Make a group
    Create(Named),
    /// Remove a group that nobody is in
    Delete(Named),
    /// Give a group's users a policy's rights
    Attach(PolicyArgs),
    /// Take a policy's rights from a group's users
    Detach(PolicyArgs),
}

/// What is done with roles.
#[derive(Debug, Subcommand)]
pub enum RolesCommand {
    /// List roles with their policies
    List,
    /// Make a role, or change whom it trusts
    Put(RoleArgs),
    /// Remove a role; its sessions end with it
    Delete(Named),
    /// Give a role a policy's rights
    Attach(PolicyArgs),
    /// Take a policy's rights from a role
    Detach(PolicyArgs),
    /// Keep all rights of a role within a policy; without one, no more
    Bound(BoundArgs),
}

/// What is done with policies.
#[derive(Debug, Subcommand)]
pub enum PoliciesCommand {
    /// List policies and who has them
    List,
    /// Print a policy's document
    Show(Named),
    /// Make a policy, or change its document
    Put(DocumentArgs),
    /// Remove a policy that nobody has
    Delete(Named),
}

/// What is done with access keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List access keys, without their secrets
    List,
    /// Make an access key for a user; its secret is shown this once
    Create(KeyArgs),
    /// Let a key be used no more, for now
    Disable(Id),
    /// Let a key be used again
    Enable(Id),
    /// Remove a key
    Delete(Id),
}

/// A name.
#[derive(Debug, Args)]
pub struct Named {
    /// Its name
    pub name: String,
}

/// An access key.
#[derive(Debug, Args)]
pub struct Id {
    /// The key's id: AKIA…
    pub id: String,
}

/// `users create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Its name
    pub name: String,
    /// A policy to attach; repeatable
    #[arg(long, value_name = "POLICY")]
    pub policy: Vec<String>,
    /// A group to put it into; repeatable
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
}

/// A policy and what it is attached to.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// The user's, group's or role's name
    pub name: String,
    /// The policy's name
    pub policy: String,
}

/// `bound`.
#[derive(Debug, Args)]
pub struct BoundArgs {
    /// The user's or role's name
    pub name: String,
    /// The policy's name
    pub policy: Option<String>,
}

/// A user and a group.
#[derive(Debug, Args)]
pub struct GroupArgs {
    /// The user's name
    pub user: String,
    /// The group's name
    pub group: String,
}

/// `roles put`.
#[derive(Debug, Args)]
pub struct RoleArgs {
    /// Its name
    pub name: String,
    /// The file with its trust policy
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,
    /// The longest session: 1h to 12h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = super::args::parse_duration)]
    pub max_session: Duration,
}

/// `policies put`.
#[derive(Debug, Args)]
pub struct DocumentArgs {
    /// Its name
    pub name: String,
    /// The file with its document
    pub file: PathBuf,
}

/// `keys create`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The user
    pub user: String,
    /// Add it to this AWS credentials file instead of showing it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Does something with users.
pub async fn users(screen: &Screen, client: &Client, command: &UsersCommand) -> Result<(), Failure> {
    match command {
        UsersCommand::List => list(screen, client, "Towpath.ListUsers").await,
        UsersCommand::Create(args) => create_user(screen, client, args).await,
        UsersCommand::Delete(args) => done(screen, client, "DeleteUser", json!({ "Name": args.name })).await,
        UsersCommand::Attach(args) => attach(screen, client, "AttachPolicy", "user", args).await,
        UsersCommand::Detach(args) => attach(screen, client, "DetachPolicy", "user", args).await,
        UsersCommand::Bound(args) => bound(screen, client, "user", args).await,
        UsersCommand::Join(args) => join(screen, client, "AddUserToGroup", args).await,
        UsersCommand::Leave(args) => join(screen, client, "RemoveUserFromGroup", args).await,
    }
}

/// Does something with groups.
pub async fn groups(screen: &Screen, client: &Client, command: &GroupsCommand) -> Result<(), Failure> {
    match command {
        GroupsCommand::List => list(screen, client, "Towpath.ListGroups").await,
        GroupsCommand::Create(args) => done(screen, client, "CreateGroup", json!({ "Name": args.name })).await,
        GroupsCommand::Delete(args) => done(screen, client, "DeleteGroup", json!({ "Name": args.name })).await,
        GroupsCommand::Attach(args) => attach(screen, client, "AttachPolicy", "group", args).await,
        GroupsCommand::Detach(args) => attach(screen, client, "DetachPolicy", "group", args).await,
    }
}

/// Does something with roles.
pub async fn roles(screen: &Screen, client: &Client, command: &RolesCommand) -> Result<(), Failure> {
    match command {
        RolesCommand::List => list(screen, client, "Towpath.ListRoles").await,
        RolesCommand::Put(args) => {
            let (trust, seconds) = (read(&args.trust)?, args.max_session.as_secs());
            done(screen, client, "PutRole", json!({ "Name": args.name, "Trust": trust, "MaxSessionSeconds": seconds }))
                .await
        }
        RolesCommand::Delete(args) => done(screen, client, "DeleteRole", json!({ "Name": args.name })).await,
        RolesCommand::Attach(args) => attach(screen, client, "AttachPolicy", "role", args).await,
        RolesCommand::Detach(args) => attach(screen, client, "DetachPolicy", "role", args).await,
        RolesCommand::Bound(args) => bound(screen, client, "role", args).await,
    }
}

/// Does something with policies.
pub async fn policies(screen: &Screen, client: &Client, command: &PoliciesCommand) -> Result<(), Failure> {
    match command {
        PoliciesCommand::List => list_policies(screen, client).await,
        PoliciesCommand::Show(args) => {
            let policy: ListedPolicy = client.call("Towpath.GetPolicy", &json!({ "Name": args.name })).await?;
            if screen.is_json() {
                screen.print_json(&policy)
            } else {
                screen.print(&format!("{}\n", policy.document.trim_end()))
            }
        }
        PoliciesCommand::Put(args) => {
            let document = read(&args.file)?;
            done(screen, client, "PutPolicy", json!({ "Name": args.name, "Document": document })).await
        }
        PoliciesCommand::Delete(args) => done(screen, client, "DeletePolicy", json!({ "Name": args.name })).await,
    }
}

/// Does something with access keys.
pub async fn keys(screen: &Screen, client: &Client, command: &KeysCommand) -> Result<(), Failure> {
    let set = |id: &str, status: &str| json!({ "Id": id, "Status": status });
    match command {
        KeysCommand::List => list_keys(screen, client).await,
        KeysCommand::Create(args) => create_key(screen, client, args).await,
        KeysCommand::Disable(args) => done(screen, client, "UpdateAccessKey", set(&args.id, "Inactive")).await,
        KeysCommand::Enable(args) => done(screen, client, "UpdateAccessKey", set(&args.id, "Active")).await,
        KeysCommand::Delete(args) => done(screen, client, "DeleteAccessKey", json!({ "Id": args.id })).await,
    }
}

/// Calls what answers nothing, and prints nothing but in JSON.
async fn done(screen: &Screen, client: &Client, operation: &str, input: Value) -> Result<(), Failure> {
    let answer: Value = client.call(&format!("Towpath.{operation}"), &input).await?;
    if screen.is_json() { screen.print_json(&answer) } else { Ok(()) }
}

async fn attach(
    screen: &Screen,
    client: &Client,
    operation: &str,
    kind: &str,
    args: &PolicyArgs,
) -> Result<(), Failure> {
    done(screen, client, operation, json!({ "Kind": kind, "Name": args.name, "Policy": args.policy })).await
}

async fn bound(screen: &Screen, client: &Client, kind: &str, args: &BoundArgs) -> Result<(), Failure> {
    let input = json!({ "Kind": kind, "Name": args.name, "Policy": args.policy });
    done(screen, client, "PutPermissionsBoundary", input).await
}

async fn join(screen: &Screen, client: &Client, operation: &str, args: &GroupArgs) -> Result<(), Failure> {
    done(screen, client, operation, json!({ "User": args.user, "Group": args.group })).await
}

async fn create_user(screen: &Screen, client: &Client, args: &CreateArgs) -> Result<(), Failure> {
    let name = &args.name;
    let answer: Value = client.call("Towpath.CreateUser", &json!({ "Name": name })).await?;
    for policy in &args.policy {
        let _: Value =
            client.call("Towpath.AttachPolicy", &json!({ "Kind": "user", "Name": name, "Policy": policy })).await?;
    }
    for group in &args.group {
        let _: Value = client.call("Towpath.AddUserToGroup", &json!({ "User": name, "Group": group })).await?;
    }
    if screen.is_json() { screen.print_json(&answer) } else { Ok(()) }
}

async fn create_key(screen: &Screen, client: &Client, args: &KeyArgs) -> Result<(), Failure> {
    let key: MadeKey = client.call("Towpath.CreateAccessKey", &json!({ "User": args.user })).await?;
    let profile = format!(
        "[{}]\naws_access_key_id = {}\naws_secret_access_key = {}\nregion = {}\n",
        key.user, key.id, key.secret, key.region
    );
    match &args.out {
        Some(file) => add_to(file, &profile),
        None if screen.is_json() => screen.print_json(&key),
        None => screen.print(&profile),
    }
}

/// Appends a profile to a credentials file that only its user reads.
fn add_to(file: &Path, profile: &str) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |error: std::io::Error| Failure::caused(format!("failed to write `{}`", file.display()), &error);
    let mut open = std::fs::OpenOptions::new();
    let mut opened = open.append(true).create(true).mode(0o600).open(file).map_err(failed)?;
    let gap = if opened.metadata().map_err(failed)?.len() > 0 { "\n" } else { "" };
    opened.write_all(format!("{gap}{profile}").as_bytes()).map_err(failed)
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::caused(format!("failed to read `{}`", file.display()), &error))
}

async fn list(screen: &Screen, client: &Client, target: &str) -> Result<(), Failure> {
    let listed: Vec<Listed> = client.call(target, &json!({})).await?;
    if screen.is_json() {
        return screen.print_json(&listed);
    }
    let rows: Vec<Vec<Cell>> = listed.iter().map(row).collect();
    screen.print(&table(screen, &["NAME", "POLICIES", "GROUPS", "BOUNDARY", "AGE"], &rows))
}

fn row(one: &Listed) -> Vec<Cell> {
    let joined = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let boundary = one.boundary.clone().unwrap_or_else(|| "-".into());
    vec![
        cell(&one.name),
        cell(dash(joined(&one.policies))),
        cell(dash(joined(&one.groups))),
        cell(boundary),
        age(one.created_at),
    ]
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

fn age(since: Timestamp) -> Cell {
    (Tone::Quiet, short_span(Timestamp::now().since(since)))
}

async fn list_policies(screen: &Screen, client: &Client) -> Result<(), Failure> {
    let listed: Vec<ListedPolicy> = client.call("Towpath.ListPolicies", &json!({})).await?;
    if screen.is_json() {
        return screen.print_json(&listed);
    }
    let row = |policy: &ListedPolicy| {
        let origin = if policy.managed { "managed" } else { "own" };
        vec![cell(&policy.name), cell(origin), cell(dash(policy.used_by.join(", ").replace('`', "")))]
    };
    let rows: Vec<Vec<Cell>> = listed.iter().map(row).collect();
    screen.print(&table(screen, &["NAME", "ORIGIN", "USED BY"], &rows))
}

async fn list_keys(screen: &Screen, client: &Client) -> Result<(), Failure> {
    let listed: Vec<ListedKey> = client.call("Towpath.ListAccessKeys", &json!({})).await?;
    if screen.is_json() {
        return screen.print_json(&listed);
    }
    let row =
        |key: &ListedKey| vec![cell(&key.id), cell(&key.user), cell(format!("{:?}", key.status)), age(key.created_at)];
    let rows: Vec<Vec<Cell>> = listed.iter().map(row).collect();
    screen.print(&table(screen, &["ID", "USER", "STATUS", "AGE"], &rows))
}
