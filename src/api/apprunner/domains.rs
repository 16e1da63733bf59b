//! Custom domains (rows N1, N2): linked, and told which records have to stand in DNS. Certificates are not obtained yet, so
//! that a domain stays `PENDING_CERTIFICATE_DNS_VALIDATION` and no traffic comes by it.

use super::arns::{self, service_arn};
use super::input::Input;
use super::revisions::{self, put};
use super::vpc_ingress::dns_targets;
use crate::api::control::Refusal;
use crate::api::facts::{Change, Facts};
use crate::model::ids::hex;
use crate::model::{Resource, ResourceKind, ResourceType, ServiceRecord, ServiceStatus, ValidationRecord};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const TYPE: ResourceType = ResourceType::Domain;
const PENDING: &str = "PENDING_CERTIFICATE_DNS_VALIDATION";

type Decided = Result<(Vec<Change>, Value), Refusal>;

pub(super) fn associate(facts: &Facts<'_>, input: &Input, random: [u8; 16]) -> Decided {
    let record = changeable(facts, input)?;
    let domain = input.required("DomainName").to_ascii_lowercase();
    check(&domain, &facts.installed.base_domain).map_err(Refusal::InvalidRequest)?;
    refuse_taken(facts, record, &domain)?;
    let have = of_service(facts, record).len();
    if have >= facts.quotas.domains as usize {
        let message =
            format!("service `{}` has {have} custom domains, which is the most (`--quota domains=N`)", record.name);
        return Err(Refusal::InvalidRequest(message));
    }
    // `www.` of a wildcard is what the wildcard covers.
    let www = input.boolean("EnableWWWSubdomain").unwrap_or(true) && !domain.starts_with("*.");
    let records = validation(facts, &domain, www, random);
    let made = revisions::made(
        facts,
        &domain,
        ResourceKind::Domain { service: record.id.clone(), www, records },
        random,
        input,
    )?;
    let answer = answer(facts, record, &made, PENDING);
    Ok((vec![put(&made)], answer))
}

pub(super) fn disassociate(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    let record = changeable(facts, input)?;
    let domain = input.required("DomainName");
    let linked = of_service(facts, record).into_iter().find(|r| r.name.eq_ignore_ascii_case(domain));
    let missing = || Refusal::NotFound(format!("service `{}` has no custom domain of this name", record.name));
    let linked = linked.ok_or_else(missing)?;
    let answer = answer(facts, record, linked, "DELETING");
    Ok((vec![Change::Remove(linked.id.clone())], answer))
}

pub(super) fn describe(facts: &Facts<'_>, input: &Input, secret: &[u8; 32]) -> Result<Value, Refusal> {
    let record = arns::service(facts, input.required("ServiceArn"))?;
    let page = revisions::paged(secret, input, of_service(facts, record))?;
    let mut answer = page.answer("CustomDomains", |r| shape(r, PENDING));
    answer["DNSTarget"] = target(facts, record).into();
    answer["ServiceArn"] = service_arn(facts.installed, record).into();
    answer["VpcDNSTargets"] = dns_targets(facts, &record.id).into();
    Ok(answer)
}

/// The service, where its domains may be changed: it is the API's, and runs (row D5).
fn changeable<'a>(facts: &Facts<'a>, input: &Input) -> Result<&'a ServiceRecord, Refusal> {
    let record = arns::live_service(facts, input.required("ServiceArn"))?;
    facts.refuse_declared(record)?;
    match facts.status(record) {
        ServiceStatus::Running => Ok(record),
        other => Err(Refusal::InvalidState(format!(
            "service `{}` is {}; its domains can be changed while it is RUNNING",
            record.name,
            other.as_str()
        ))),
    }
}

fn of_service<'a>(facts: &Facts<'a>, record: &ServiceRecord) -> Vec<&'a Resource> {
    revisions::active(facts, TYPE).filter(|r| r.service() == Some(&record.id)).collect()
}

fn refuse_taken(facts: &Facts<'_>, record: &ServiceRecord, domain: &str) -> Result<(), Refusal> {
    let live = |r: &&Resource| facts.live().any(|s| r.service() == Some(&s.id));
    match revisions::active(facts, TYPE).filter(live).find(|r| r.name == domain) {
        None => Ok(()),
        Some(taken) if taken.service() == Some(&record.id) => {
            Err(Refusal::InvalidRequest(format!("service `{}` has the domain `{domain}` already", record.name)))
        }
        Some(_) => Err(Refusal::InvalidRequest(format!("the domain `{domain}` belongs to another service"))),
    }
}

/// A root domain, a subdomain, or a wildcard directly under a root domain (row N1).
fn check(domain: &str, base_domain: &str) -> Result<(), String> {
    let (wild, plain) = match domain.strip_prefix("*.") {
        Some(plain) => (true, plain),
        None => (false, domain),
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let labels: Vec<&str> = plain.split('.').collect();
    if labels.len() < 2 || plain.len() > 253 || !labels.iter().all(|l| label(l)) {
        return Err("`DomainName` must be a domain like `example.com`, `shop.example.com` or `*.example.com`".into());
    }
    if wild && !is_root(&labels) {
        return Err("a wildcard stands directly under a root domain, like `*.example.com`".into());
    }
    if plain == base_domain || plain.ends_with(&format!(".{base_domain}")) {
        return Err(format!("domains under `{base_domain}` are given out by towpath itself"));
    }
    Ok(())
}

/// Two labels, or three where the last two are a country's registry (`co.uk`).
fn is_root(labels: &[&str]) -> bool {
    matches!(labels, [_, _]) || matches!(labels, [_, registry, country] if country.len() == 2 && registry.len() <= 3)
}

/// A record per name: the domain's own, and that of `www.`.
fn validation(facts: &Facts<'_>, domain: &str, www: bool, random: [u8; 16]) -> Vec<ValidationRecord> {
    let plain = domain.strip_prefix("*.").unwrap_or(domain);
    let names = [Some(plain.to_owned()), www.then(|| format!("www.{plain}"))];
    let record = |name: String| {
        // Of what only we know, so that nobody can put the record there before it was given out.
        let part = |what: &str| hex(&Sha256::digest([what.as_bytes(), name.as_bytes(), &random].concat())[..16]);
        let (left, right, zone) = (part("name"), part("value"), part("zone"));
        let value = format!("_{right}.{}.validations.{}.", &zone[..10], facts.installed.base_domain);
        ValidationRecord { name: format!("_{left}.{name}."), value }
    };
    names.into_iter().flatten().map(record).collect()
}

/// Where the domain's own record has to point.
fn target(facts: &Facts<'_>, record: &ServiceRecord) -> String {
    let installed = facts.installed;
    format!("{}.{}.{}", record.label, installed.region, installed.base_domain)
}

fn answer(facts: &Facts<'_>, record: &ServiceRecord, domain: &Resource, status: &str) -> Value {
    json!({
        "DNSTarget": target(facts, record),
        "ServiceArn": service_arn(facts.installed, record),
        "CustomDomain": shape(domain, status),
        "VpcDNSTargets": dns_targets(facts, &record.id),
    })
}

fn shape(resource: &Resource, status: &str) -> Value {
    let ResourceKind::Domain { www, records, .. } = &resource.kind else { return json!({}) };
    let records: Vec<Value> = records
        .iter()
        .map(|r| json!({ "Name": r.name, "Type": "CNAME", "Value": r.value, "Status": "PENDING_VALIDATION" }))
        .collect();
    json!({
        "DomainName": resource.name,
        "EnableWWWSubdomain": www,
        "CertificateValidationRecords": records,
        "Status": status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_roots_subdomains_and_wildcards_right_under_a_root() {
        for good in ["example.com", "shop.example.com", "*.example.com", "*.example.co.uk", "a.b.c.example.com"] {
            assert_eq!(check(good, "localhost"), Ok(()), "{good}");
        }
        for bad in [
            "com",
            "*.com",
            "*.login.example.com",
            "login*.example.com",
            "-a.com",
            "a-.com",
            "a..com",
            ".com",
            "*",
            "a.localhost",
        ] {
            assert!(check(bad, "localhost").is_err(), "{bad}");
        }
    }
}
