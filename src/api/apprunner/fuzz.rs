//! Requests of any JSON, ARNs and page tokens of any text: taken, or refused as the caller's fault.

use super::arns;
use super::input::Input;
use super::model::MODEL;
use super::paging::page;
use super::validate::validate;
use crate::api::facts::{Facts, Installed};
use crate::api::network::read_object;
use crate::fuzzing::sentence;
use crate::model::{Quotas, ResourceType, Timestamp};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1e99",
    "9223372036854775808",
    "\\ud800",
    "\\u0000",
    "\"x\"",
    "\"ServiceName\":",
    "\"ServiceArn\":",
    "\"ResourceArn\":",
    "\"SourceConfiguration\":",
    "\"CodeRepository\":",
    "\"ImageRepository\":",
    "\"CodeConfiguration\":",
    "\"CodeConfigurationValues\":",
    "\"RepositoryUrl\":",
    "\"SourceCodeVersion\":",
    "\"Type\":\"BRANCH\"",
    "\"Value\":",
    "\"Runtime\":\"PYTHON_3\"",
    "\"Port\":",
    "\"RuntimeEnvironmentVariables\":",
    "\"RuntimeEnvironmentSecrets\":",
    "\"InstanceConfiguration\":",
    "\"Cpu\":\"1 vCPU\"",
    "\"Memory\":",
    "\"HealthCheckConfiguration\":",
    "\"Interval\":",
    "\"Tags\":",
    "\"Key\":",
    "\"TagKeys\":",
    "\"MaxResults\":",
    "\"NextToken\":",
    "\"Filter\":",
    "\"DomainName\":",
    "\"NetworkConfiguration\":",
    "\"arn:aws:apprunner:local-1:000000000000:service/shop\"",
];
const ARNS: &[&str] = &[
    "arn:",
    "aws",
    "aws-cn",
    ":",
    "apprunner",
    "local-1",
    "000000000000",
    "service",
    "connection",
    "autoscalingconfiguration",
    "vpcconnector",
    "vpcingressconnection",
    "observabilityconfiguration",
    "/",
    "shop",
    "DefaultConfiguration",
    "1",
    "4294967296",
    "-1",
    "00000000000000000000000000000001",
    "arn:aws:apprunner:local-1:000000000000:",
    "*",
    "\u{e9}",
    " ",
];
const TOKENS: &[&str] = &["A", "Zz", "-", "_", "=", "+", "AAAAAAAAAAAAAAAAAAAAAA", "b0"];

#[test]
fn a_body_of_any_json_is_taken_or_refused_as_the_callers_fault() {
    let operations: Vec<_> =
        ["CreateService", "UpdateService", "TagResource", "UntagResource", "ListServices", "ListVpcIngressConnections"]
            .map(|name| MODEL.operation(name).unwrap())
            .into();
    bolero::check!().with_max_len(300).for_each(|bytes: &[u8]| {
        for text in [sentence(JSON, bytes).into_bytes(), bytes.to_vec()] {
            let Ok(value) = read_object(&text) else { continue };
            for operation in &operations {
                if let Err(error) = validate(operation, &value) {
                    assert_eq!(error.row().0.as_u16(), 400);
                }
            }
        }
    });
}

#[test]
fn an_arn_of_any_text_names_nothing_that_is_not_there() {
    let installed = Installed {
        region: "local-1".into(),
        account: "000000000000".into(),
        base_domain: "localhost".into(),
        http_port: 80,
        runs_images: false,
        manifest_connection: None,
    };
    let (services, resources) = (BTreeMap::new(), BTreeMap::new());
    let (now, open, desired, quotas) = (Timestamp(0), BTreeMap::new(), None, Quotas::default());
    let by_name = &BTreeSet::new();
    let (installed, services, resources) = (&installed, &services, &resources);
    let facts = Facts { now, installed, services, by_name, open, resources, desired, quotas };
    bolero::check!().with_max_len(64).for_each(|bytes: &[u8]| {
        let text = sentence(ARNS, bytes);
        assert!(arns::service(&facts, &text).is_err() && arns::any(&facts, &text).is_err());
        assert!(arns::resource(&facts, ResourceType::AutoScaling, &text).is_err());
        assert!(super::resolved(&facts, &text).is_none());
    });
}

#[test]
fn a_token_of_any_text_opens_nothing() {
    bolero::check!().with_max_len(128).for_each(|bytes: &[u8]| {
        let input = Input::new("ListServices", json!({ "NextToken": sentence(TOKENS, bytes) }));
        assert!(page(&[7; 32], &input, vec!["a", "b"], |item| (*item).to_owned()).is_err());
    });
}
