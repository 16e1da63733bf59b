//! The flags of `up` about webhooks.

use crate::settings::WebhookSettings;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// See the module.
#[derive(Debug, Args)]
pub struct WebhookArgs {
    /// Where webhooks are taken beside the API's address; nothing else is answered there
    #[arg(long, value_name = "ADDRESS", env = "TOWPATH_WEBHOOKS", hide_env_values = true)]
    webhooks: Option<SocketAddr>,
    /// The file of the secret that webhooks of GitHub are signed with
    #[arg(long, value_name = "FILE", env = "TOWPATH_GITHUB_WEBHOOK_SECRET_FILE", hide_env_values = true)]
    github_webhook_secret_file: Option<PathBuf>,
    /// The file of the secret token that GitLab's webhooks carry
    #[arg(long, value_name = "FILE", env = "TOWPATH_GITLAB_WEBHOOK_SECRET_FILE", hide_env_values = true)]
    gitlab_webhook_secret_file: Option<PathBuf>,
    /// The file of the secret that webhooks of Gitea or Forgejo are signed with
    #[arg(long, value_name = "FILE", env = "TOWPATH_GITEA_WEBHOOK_SECRET_FILE", hide_env_values = true)]
    gitea_webhook_secret_file: Option<PathBuf>,
    /// The file of the secret that webhooks of Bitbucket are signed with
    #[arg(long, value_name = "FILE", env = "TOWPATH_BITBUCKET_WEBHOOK_SECRET_FILE", hide_env_values = true)]
    bitbucket_webhook_secret_file: Option<PathBuf>,
    /// The file of the secret that webhooks of anything else that signs as GitHub does are signed with
    #[arg(long, value_name = "FILE", env = "TOWPATH_GENERIC_WEBHOOK_SECRET_FILE", hide_env_values = true)]
    generic_webhook_secret_file: Option<PathBuf>,
}

impl WebhookArgs {
    /// The settings that they are.
    pub fn settings(self) -> WebhookSettings {
        let files = [
            ("github", self.github_webhook_secret_file),
            ("gitlab", self.gitlab_webhook_secret_file),
            ("gitea", self.gitea_webhook_secret_file),
            ("bitbucket", self.bitbucket_webhook_secret_file),
            ("generic", self.generic_webhook_secret_file),
        ];
        let secret_files = files.into_iter().filter_map(|(name, file)| Some((name, file?))).collect();
        WebhookSettings { secret_files, listen: self.webhooks }
    }
}
