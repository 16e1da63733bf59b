//! What people have for AWS' clients already: access keys in credential files and variables (profiles, region).

use crate::model::{Invalid, Secret};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a client signs with, and for which region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsProfile {
    /// The access key's id.
    pub key_id: String,
    /// Its secret.
    pub secret: Secret,
    /// The session token of temporary credentials.
    pub token: Option<String>,
    /// The region.
    pub region: String,
}

/// Finds access key and region as AWS' clients do: a profile that is named; else variables; else the profile of `AWS_PROFILE`
/// or `default`.
///
/// # Errors
/// When there is no access key to be found.
pub fn aws_profile(named: Option<&str>) -> Result<AwsProfile, Invalid> {
    let variables = super::environment();
    let home = variables.get("HOME").map(PathBuf::from);
    let file = |variable: &str, name: &str| {
        let own = home.as_ref().map(|home| home.join(".aws").join(name));
        let path = variables.get(variable).map(PathBuf::from).or(own);
        path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    };
    let (credentials, config) = (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config"));
    choose(named, &variables, &read_profiles(&credentials), &read_profiles(&config))
}

type Profiles = BTreeMap<String, BTreeMap<String, String>>;

fn choose(
    named: Option<&str>,
    variables: &BTreeMap<String, String>,
    credentials: &Profiles,
    config: &Profiles,
) -> Result<AwsProfile, Invalid> {
    let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
    let name = named.map(str::to_owned).or_else(|| variable("AWS_PROFILE")).unwrap_or_else(|| "default".into());
    let of_file = |key: &str| {
        let of = |profiles: &Profiles| profiles.get(&name).and_then(|profile| profile.get(key)).cloned();
        of(credentials).or_else(|| of(config))
    };
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")).or_else(|| of_file("region"));
    let region = region.unwrap_or_else(|| "local-1".into());
    let by_variables = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY")).filter(|_| named.is_none());
    if let Some((key_id, secret)) = by_variables {
        let token = variable("AWS_SESSION_TOKEN");
        return Ok(AwsProfile { key_id, secret: Secret::new(secret), token, region });
    }
    match of_file("aws_access_key_id").zip(of_file("aws_secret_access_key")) {
        Some((key_id, secret)) => {
            Ok(AwsProfile { key_id, secret: Secret::new(secret), token: of_file("aws_session_token"), region })
        }
        None => Err(Invalid::new(format!("there is no access key in the AWS profile `{}`", name.escape_debug()))
            .hint("name another with `--profile`, point `AWS_SHARED_CREDENTIALS_FILE` at its file, or set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`")),
    }
}

/// The sections of a file; `[profile NAME]` of configuration files is `[NAME]` of credential files.
fn read_profiles(text: &str) -> Profiles {
    let mut profiles = Profiles::new();
    let mut current = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let name = section.trim();
            let name = name.strip_prefix("profile ").unwrap_or(name).trim().to_owned();
            profiles.entry(name.clone()).or_default();
            current = Some(name);
        } else if let (Some(name), Some((key, value))) = (&current, line.split_once('=')) {
            let profile = profiles.entry(name.clone()).or_default();
            profile.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    profiles
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# keys\n[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key=s3=cret/\nregion = r-file\n\n\
                               [ci]\nAWS_ACCESS_KEY_ID=AKIACI\naws_secret_access_key = x\naws_session_token = t\n[empty]\n";
    const CONFIG: &str = "[profile ci]\nregion = r-ci\n; [default]\n[default]\nregion = r-config\n";

    fn chosen(
        named: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<(String, String, Option<String>, String), String> {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = choose(named, &variables, &read_profiles(CREDENTIALS), &read_profiles(CONFIG));
        found.map(|p| (p.key_id, p.secret.reveal().to_owned(), p.token, p.region)).map_err(|e| e.message)
    }

    #[test]
    fn keys_and_regions_are_found_where_awss_clients_look() {
        let is = |key: &str, secret: &str, token: Option<&str>, region: &str| {
            Ok((key.to_owned(), secret.to_owned(), token.map(str::to_owned), region.to_owned()))
        };
        let keys = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "e")];
        assert_eq!(chosen(None, &[]), is("AKIADEFAULT", "s3=cret/", None, "r-file"));
        assert_eq!(chosen(Some("ci"), &[]), is("AKIACI", "x", Some("t"), "r-ci"));
        assert_eq!(chosen(None, &[("AWS_PROFILE", "ci")]), is("AKIACI", "x", Some("t"), "r-ci"));
        assert_eq!(chosen(None, &keys), is("AKIAENV", "e", None, "r-file"));
        assert_eq!(chosen(Some("ci"), &keys), is("AKIACI", "x", Some("t"), "r-ci"));
        assert_eq!(chosen(Some("ci"), &[("AWS_REGION", "r-env")]), is("AKIACI", "x", Some("t"), "r-env"));
        assert!(chosen(Some("empty"), &[]).unwrap_err().contains("`empty`"));
        assert!(chosen(Some("none"), &keys).is_err());
    }
}
