//! What strings of the model may be made of: its patterns, written out.

/// Whether a string is of a class of the table. A class that is not known takes nothing; a test looks that all are.
pub(super) fn fits(class: &str, text: &str) -> bool {
    match class {
        "arn" => is_arn(text),
        "name" => is_name(text),
        "domain" => text.bytes().all(|b| b.is_ascii_alphanumeric() || b"*.-".contains(&b)),
        "one-line" => !text.is_empty() && !text.contains(['\n', '\r']),
        "no-nul" => !text.contains('\0'),
        "tag-key" => !text.starts_with("aws:") && !text.contains(['\n', '\r']),
        "cpu" => CPUS.iter().any(|(written, _)| *written == text),
        "memory" => MEMORIES.iter().any(|(written, _)| *written == text),
        "role" => is_role(text),
        "kms-key" => is_kms_key(text),
        "image" => is_image(text),
        _ => false,
    }
}

/// What a class is, for messages.
pub(super) fn described(class: &str) -> String {
    let written = |sizes: &[(&'static str, u32)]| sizes.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ");
    match class {
        "arn" => "must be an ARN like `arn:aws:apprunner:REGION:ACCOUNT:TYPE/NAME/ID`".into(),
        "name" => "must be of letters, digits, `-` and `_`, and begin with a letter or digit".into(),
        "domain" => "must be of letters, digits, `.`, `-` and `*`".into(),
        "one-line" => "must be one line that is not empty".into(),
        "no-nul" => "must not hold a zero character".into(),
        "tag-key" => "must be one line and must not begin with `aws:`".into(),
        "cpu" => format!("must be one of {}", written(CPUS)),
        "memory" => format!("must be one of {}", written(MEMORIES)),
        "role" => "must be the ARN of a role like `arn:aws:iam::ACCOUNT:role/NAME`".into(),
        "kms-key" => "must be the ARN of a key like `arn:aws:kms:REGION:ACCOUNT:key/ID`".into(),
        _ => "must be the name of an image like `registry.example.com/team/app:1.2`".into(),
    }
}

/// Whether the table's word is a class.
#[cfg(test)]
pub(super) fn is_known(class: &str) -> bool {
    class == "image" || described(class) != described("image")
}

/// CPU as it may be written, in units of 1/1024 vCPU (row I1).
pub(super) const CPUS: &[(&str, u32)] = &[
    ("256", 256),
    ("512", 512),
    ("1024", 1024),
    ("2048", 2048),
    ("4096", 4096),
    ("0.25 vCPU", 256),
    ("0.5 vCPU", 512),
    ("1 vCPU", 1024),
    ("2 vCPU", 2048),
    ("4 vCPU", 4096),
];

/// Memory as it may be written, in MB (row I1).
pub(super) const MEMORIES: &[(&str, u32)] = &[
    ("512", 512),
    ("1024", 1024),
    ("2048", 2048),
    ("3072", 3072),
    ("4096", 4096),
    ("6144", 6144),
    ("8192", 8192),
    ("10240", 10240),
    ("12288", 12288),
    ("0.5 GB", 512),
    ("1 GB", 1024),
    ("2 GB", 2048),
    ("3 GB", 3072),
    ("4 GB", 4096),
    ("6 GB", 6144),
    ("8 GB", 8192),
    ("10 GB", 10240),
    ("12 GB", 12288),
];

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| is_word(b) || b == b'-') && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// `aws`, `aws-cn`, `aws-us-gov`.
fn is_partition(text: &str) -> bool {
    let mut parts = text.split('-');
    parts.next() == Some("aws") && parts.all(|part| !part.is_empty() && part.bytes().all(is_word))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, service, region, account, resource] = parts[..] else { return false };
    let place = |part: &str| {
        part.len() <= 63 && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.\\".contains(&b))
    };
    let named = !resource.is_empty() && resource.bytes().all(|b| is_word(b) || b == b'/' || b == b'-');
    is_partition(partition) && place(service) && place(region) && is_account(account) && named
}

fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts[..] else { return false };
    let path = resource.strip_prefix("role/").unwrap_or_default();
    let named = (1..=1000).contains(&path.len()) && path.bytes().all(|b| is_word(b) || b"+=,.@-/".contains(&b));
    ["aws", "aws-us-gov", "aws-cn", "aws-iso", "aws-iso-b"].contains(&partition) && is_account(account) && named
}

fn is_kms_key(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "kms", region, account, resource] = parts[..] else { return false };
    let id = resource.strip_prefix("key/").unwrap_or_default();
    let groups: Vec<usize> = id.split('-').map(str::len).collect();
    let hex = id.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let region = region.rsplit_once('-').is_some_and(|(place, number)| {
        place.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            && number.len() == 1
            && number.as_bytes()[0].is_ascii_digit()
    });
    is_partition(partition) && region && is_account(account) && hex && groups == [8, 4, 4, 4, 12]
}

/// Any reference to an image, not only those of the two registries that App Runner knows (row S2).
fn is_image(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@+=".contains(&b));
    let parts = || text.split('/').all(|part| !part.is_empty());
    plain && parts() && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_taken_and_refused_as_the_models_patterns_do() {
        let service = "arn:aws:apprunner:us-east-1:123456789012:service/python-app/8fe1e10304f84fd2b0df550fe98a71fa";
        let key = "arn:aws:kms:us-east-1:123456789012:key/0ab1c2d3-0ab1-0ab1-0ab1-0ab1c2d30ab1";
        for (class, good) in [
            ("arn", service),
            ("arn", "arn:aws-us-gov:apprunner:local-1:000000000000:connection/a"),
            ("name", "a-b_c"),
            ("domain", "*.example.com"),
            ("one-line", "make && ./run"),
            ("tag-key", "team"),
            ("cpu", "0.25 vCPU"),
            ("memory", "12 GB"),
            ("role", "arn:aws:iam::123456789012:role/service-role/AppRunner"),
            ("kms-key", key),
            ("image", "127.0.0.1:5000/app:v1"),
            ("image", "public.ecr.aws/aws-containers/hello-app-runner@sha256:00"),
        ] {
            assert!(fits(class, good), "{class}: {good}");
        }
        for (class, bad) in [
            ("arn", ""),
            ("arn", "service"),
            ("arn", "arn:aws:apprunner:us-east-1:12345:service/x"),
            ("arn", "arn:aws:apprunner:us-east-1:123456789012:service/*"),
            ("arn", "arn:aws-:apprunner:us-east-1:123456789012:service/x"),
            ("arn", "arn:aws:App:us-east-1:123456789012:service/x"),
            ("name", "-abc"),
            ("name", "a b"),
            ("domain", "a_b"),
            ("one-line", "a\nb"),
            ("one-line", ""),
            ("tag-key", "aws:x"),
            ("cpu", "3 vCPU"),
            ("memory", "2"),
            ("role", "arn:aws:iam::123456789012:user/x"),
            ("kms-key", "arn:aws:kms:us-east-1:123456789012:key/x"),
            ("image", "a b"),
            ("image", "/x"),
            ("nothing", "x"),
        ] {
            assert!(!fits(class, bad), "{class}: {bad:?}");
        }
    }
}
