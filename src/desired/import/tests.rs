use super::*;
use serde_json::{Value as Json, json};

fn imported(texts: &[(&str, String)], choices: &Choices) -> Imported {
    let inputs: Vec<Input> = texts
        .iter()
        .map(|(file, text)| Input { file: (*file).to_owned(), text: text.clone(), repository: None })
        .collect();
    import(&inputs, choices, &Catalogue::builtin())
}

/// A service with every member that App Runner's API answers, of either kind of source.
fn service(source: &Json) -> Json {
    json!({
        "ServiceName": "shop", "ServiceId": "8fe1e10304f84fd2b0df550fe98a71fa",
        "ServiceArn": "arn:aws:apprunner:eu-west-1:123456789012:service/shop/8fe1e10304f84fd2b0df550fe98a71fa",
        "ServiceUrl": "psbqam834h.eu-west-1.awsapprunner.com", "CreatedAt": 1.5, "UpdatedAt": 2.5, "DeletedAt": 3.5,
        "Status": "RUNNING", "SourceConfiguration": source,
        "InstanceConfiguration": { "Cpu": "2048", "Memory": "4096", "InstanceRoleArn": "arn:aws:iam::123456789012:role/shop" },
        "EncryptionConfiguration": { "KmsKey": "arn:aws:kms:eu-west-1:123456789012:key/1" },
        "HealthCheckConfiguration": { "Protocol": "HTTP", "Path": "/up", "Interval": 7, "Timeout": 3, "HealthyThreshold": 2,
            "UnhealthyThreshold": 4 },
        "AutoScalingConfigurationSummary": { "AutoScalingConfigurationArn": SCALING, "AutoScalingConfigurationName": "frugal",
            "AutoScalingConfigurationRevision": 3, "Status": "ACTIVE", "CreatedAt": 1.5, "HasAssociatedService": true,
            "IsDefault": false },
        "NetworkConfiguration": {
            "EgressConfiguration": { "EgressType": "VPC", "VpcConnectorArn": "arn:aws:apprunner:eu-west-1:123456789012:vpcconnector/x/1/y" },
            "IngressConfiguration": { "IsPubliclyAccessible": false }, "IpAddressType": "DUAL_STACK" },
        "ObservabilityConfiguration": { "ObservabilityEnabled": true, "ObservabilityConfigurationArn": "arn:aws:apprunner:x" },
    })
}

const SCALING: &str = "arn:aws:apprunner:eu-west-1:123456789012:autoscalingconfiguration/frugal/3/0cd5";

fn code() -> Json {
    json!({
        "CodeRepository": { "RepositoryUrl": "https://github.com/acme/shop", "SourceDirectory": "/web",
            "SourceCodeVersion": { "Type": "BRANCH", "Value": "main" },
            "CodeConfiguration": { "ConfigurationSource": "API", "CodeConfigurationValues": { "Runtime": "PYTHON_311",
                "BuildCommand": "make", "StartCommand": "python app.py", "Port": "8000",
                "RuntimeEnvironmentVariables": { "LEVEL": "info" }, "RuntimeEnvironmentSecrets": { "KEY": "arn:aws:ssm:x:1:parameter/k" } } } },
        "AutoDeploymentsEnabled": false,
        "AuthenticationConfiguration": { "ConnectionArn": "arn:aws:apprunner:c" },
    })
}

fn image() -> Json {
    json!({
        "ImageRepository": { "ImageIdentifier": "public.ecr.aws/acme/shop:1", "ImageRepositoryType": "ECR_PUBLIC",
            "ImageConfiguration": { "StartCommand": "run me", "Port": "8000", "RuntimeEnvironmentVariables": { "LEVEL": "info" },
                "RuntimeEnvironmentSecrets": { "KEY": "k" } } },
        "AutoDeploymentsEnabled": true,
        "AuthenticationConfiguration": { "AccessRoleArn": "arn:aws:iam::123456789012:role/ecr" },
    })
}

fn scaling() -> Json {
    json!({ "AutoScalingConfiguration": { "AutoScalingConfigurationArn": SCALING, "AutoScalingConfigurationName": "frugal",
        "AutoScalingConfigurationRevision": 3, "Latest": true, "Status": "ACTIVE", "MaxConcurrency": 60, "MinSize": 2, "MaxSize": 6,
        "CreatedAt": 1.5, "DeletedAt": 2.5, "HasAssociatedService": true, "IsDefault": false } })
}

/// The account's other resources, with every member.
fn account() -> Json {
    json!([
        { "ServiceSummaryList": [{ "ServiceName": "old", "ServiceId": "1", "ServiceArn": "arn:x:service/old/1", "ServiceUrl": "u",
            "CreatedAt": 1, "UpdatedAt": 2, "Status": "RUNNING" }], "NextToken": "n" },
        { "ConnectionSummaryList": [{ "ConnectionName": "c", "ConnectionArn": "a", "ProviderType": "GITHUB", "Status": "AVAILABLE",
            "CreatedAt": 1 }] },
        { "AutoScalingConfigurationSummaryList": [{ "AutoScalingConfigurationArn": "a", "AutoScalingConfigurationName": "n" }] },
        { "DNSTarget": "t", "ServiceArn": "arn:x:service/shop/1", "CustomDomains": [{ "DomainName": "shop.example.com",
            "EnableWWWSubdomain": true, "CertificateValidationRecords": [{ "Name": "n", "Type": "CNAME", "Value": "v", "Status": "SUCCESS" }],
            "Status": "ACTIVE" }], "VpcDNSTargets": [{ "VpcIngressConnectionArn": "a", "VpcId": "v", "DomainName": "d" }] },
        { "VpcConnectors": [{ "VpcConnectorName": "v", "Subnets": ["s"], "SecurityGroups": ["g"] }] },
        { "VpcConnector": { "VpcConnectorName": "v" } },
        { "ObservabilityConfiguration": { "TraceConfiguration": { "Vendor": "AWSXRAY" } } },
        { "ObservabilityConfigurationSummaryList": [{ "ObservabilityConfigurationName": "n" }] },
        { "VpcIngressConnection": { "DomainName": "d", "IngressVpcConfiguration": { "VpcId": "v", "VpcEndpointId": "e" } } },
        { "VpcIngressConnectionSummaryList": [{ "ServiceArn": "a" }] },
        { "OperationSummaryList": [{ "Id": "i" }] },
        { "ServiceArnList": ["a"] },
        { "Connection": { "ConnectionName": "c" } },
        { "ResourceArn": "arn:x:service/shop/1", "Tags": [{ "Key": "k", "Value": "v" }] },
    ])
}

/// Every leaf of a document with its path, as notes name it.
fn leaves(value: &Json, path: &str, found: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            for (key, value) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, &path, found);
            }
        }
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}[{at}]"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// Each leaf has a note of its own, or what it is in has one; none of them says that nobody knows it.
fn each_is_accounted_for(value: &Json, notes: &[Note]) {
    let mut all = Vec::new();
    leaves(value, "", &mut all);
    assert!(!all.is_empty());
    for leaf in all {
        let told = notes.iter().find(|note| {
            leaf.strip_prefix(note.field.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
        let note = told.unwrap_or_else(|| panic!("`{leaf}` was dropped without a word: {notes:#?}"));
        let why = note.why.as_deref().unwrap_or_default();
        assert!(!why.contains("does not know it"), "`{leaf}` is published, but not known here");
    }
}

#[test]
fn no_member_of_a_service_is_dropped_without_a_word() {
    for source in [code(), image()] {
        let service = service(&source);
        let imported =
            imported(&[("s", json!({ "Service": service }).to_string() + &scaling().to_string())], &Choices::default());
        assert!(imported.text.is_some(), "{:?}", imported.problems);
        each_is_accounted_for(&service, &imported.notes);
        each_is_accounted_for(&scaling(), &imported.notes);
    }
}

#[test]
fn no_member_of_what_is_beside_services_is_dropped_without_a_word() {
    let text = account().to_string() + &json!({ "Service": service(&code()) }).to_string();
    let imported = imported(&[("a", text)], &Choices::default());
    for document in account().as_array().unwrap() {
        each_is_accounted_for(document, &imported.notes);
    }
}

#[test]
fn a_member_that_nobody_knows_is_said() {
    let mut service = service(&code());
    service["InstanceConfiguration"]["Gpu"] = json!(1);
    service["Mascot"] = json!({ "Name": "otter" });
    let imported = imported(&[("s", json!({ "Service": service }).to_string())], &Choices::default());
    for field in ["InstanceConfiguration.Gpu", "Mascot"] {
        let note = imported.notes.iter().find(|note| note.field == field).unwrap();
        assert_eq!(note.outcome, Outcome::LeftOut);
    }
}

/// What is said to be carried is in the manifest: another value gives another text.
#[test]
fn a_member_that_is_carried_changes_the_manifest_when_it_changes() {
    let others = [
        ("ServiceName", json!("shop2")),
        ("SourceConfiguration.CodeRepository.RepositoryUrl", json!("https://github.com/acme/other")),
        ("SourceConfiguration.CodeRepository.SourceDirectory", json!("/else")),
        ("SourceConfiguration.CodeRepository.SourceCodeVersion.Value", json!("next")),
        ("SourceConfiguration.CodeRepository.CodeConfiguration.ConfigurationSource", json!("REPOSITORY")),
        ("SourceConfiguration.CodeRepository.CodeConfiguration.CodeConfigurationValues.Runtime", json!("GO_1")),
        ("SourceConfiguration.CodeRepository.CodeConfiguration.CodeConfigurationValues.BuildCommand", json!("true")),
        ("SourceConfiguration.CodeRepository.CodeConfiguration.CodeConfigurationValues.StartCommand", json!("./other")),
        ("SourceConfiguration.CodeRepository.CodeConfiguration.CodeConfigurationValues.Port", json!("81")),
        (
            "SourceConfiguration.CodeRepository.CodeConfiguration.CodeConfigurationValues.RuntimeEnvironmentVariables.LEVEL",
            json!("debug"),
        ),
        ("SourceConfiguration.AutoDeploymentsEnabled", json!(true)),
        ("InstanceConfiguration.Cpu", json!("0.5 vCPU")),
        ("InstanceConfiguration.Memory", json!("3 GB")),
        ("HealthCheckConfiguration.Protocol", json!("TCP")),
        ("HealthCheckConfiguration.Path", json!("/down")),
        ("HealthCheckConfiguration.Interval", json!(8)),
        ("HealthCheckConfiguration.Timeout", json!(4)),
        ("HealthCheckConfiguration.HealthyThreshold", json!(3)),
        ("HealthCheckConfiguration.UnhealthyThreshold", json!(9)),
        ("AutoScalingConfigurationSummary.AutoScalingConfigurationArn", json!("arn:none")),
    ];
    let text = |service: &Json| {
        let all = json!({ "Service": service }).to_string() + &scaling().to_string();
        imported(&[("s", all)], &Choices::default())
    };
    let service = service(&code());
    let before = text(&service);
    let mut carried: Vec<String> =
        before.notes.iter().filter(|n| n.outcome == Outcome::Carried).map(|n| n.field.clone()).collect();
    // The only kind that there is, and the configuration beside the service.
    carried.retain(|field| !field.ends_with("SourceCodeVersion.Type") && field != "AutoScalingConfiguration");
    let tried: Vec<String> = others.iter().map(|(path, _)| (*path).to_owned()).collect();
    carried.iter().for_each(|path| assert!(tried.contains(path), "`{path}` is carried: try another value of it"));
    for (path, other) in others {
        let mut changed = service.clone();
        *changed.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap() = other;
        assert_ne!(text(&changed).text, before.text, "{path}");
    }
}

#[test]
fn functions_are_worked_out_as_far_as_the_template_says() {
    let value = |template: &str, given: &[(&str, &str)]| {
        let text = format!(
            "Parameters:\n  Stage: {{ Type: String, Default: test }}\n  Open: {{ Type: String }}\n\
             Mappings: {{ M: {{ test: {{ A: one }}, prod: {{ A: two }} }} }}\n\
             Conditions:\n  Prod: !Equals [!Ref Stage, prod]\n  Both: !And [!Condition Prod, !Not [!Condition Prod]]\n  \
             Any: !Or [!Condition Prod, !Not [!Condition Prod]]\n  Unknown: !Equals [!Ref Open, x]\n\
             Resources:\n  Shop:\n    Type: AWS::AppRunner::Service\n    Properties:\n      ServiceName: shop\n      \
             SourceConfiguration:\n        ImageRepository:\n          ImageIdentifier: public.ecr.aws/a/b:1\n          \
             ImageRepositoryType: ECR_PUBLIC\n          ImageConfiguration:\n            RuntimeEnvironmentVariables:\n              \
             - Name: X\n                Value: {template}\n"
        );
        let parameters = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let imported = imported(&[("t.yaml", text)], &Choices { parameters, environment: None });
        let text = imported.text.unwrap_or_else(|| panic!("{template}: {:?}", imported.problems));
        text.lines().find_map(|l| l.trim().strip_prefix("X: ").map(str::to_owned)).unwrap_or_else(|| text.clone())
    };
    for (template, expected) in [
        ("plain", "plain"),
        ("!Ref Stage", "test"),
        ("{ Ref: Stage }", "test"),
        ("!Sub '${Stage}-${!Literal}-${AWS::Partition}'", "\"test-${Literal}-aws\""),
        ("!Sub ['${A}/${Stage}', { A: !Ref Stage }]", "test/test"),
        ("!Join ['-', [a, !Ref Stage, b]]", "a-test-b"),
        ("!Select [1, [a, b, c]]", "b"),
        ("!Select [0, !Split ['.', 'x.y']]", "x"),
        ("!FindInMap [M, !Ref Stage, A]", "one"),
        ("!If [Prod, yes-it-is, not-it-is]", "not-it-is"),
        ("!If [Both, a1, b1]", "b1"),
        ("!If [Any, a1, b1]", "a1"),
        ("!If [Unknown, a1, b1]", "FILL_IN"),
        ("!If [None, a1, b1]", "FILL_IN"),
        ("!Ref Open", "FILL_IN"),
        ("!Ref AWS::Region", "FILL_IN"),
        ("!Ref Bucket", "FILL_IN"),
        ("!GetAtt Table.Arn", "FILL_IN"),
        ("!Sub 'https://${Api.Url}'", "FILL_IN"),
        ("!ImportValue other", "FILL_IN"),
        ("!Select [9, [a]]", "FILL_IN"),
        ("!Sub '${Stage'", "FILL_IN"),
        ("'{{resolve:ssm:/x:1}}'", "FILL_IN"),
        ("!Transform { Name: x }", "FILL_IN"),
    ] {
        assert_eq!(value(template, &[]), expected, "{template}");
    }
    assert_eq!(value("!If [Prod, yes-it-is, not-it-is]", &[("Stage", "prod")]), "yes-it-is");
    assert_eq!(value("!Sub '${AWS::Region}'", &[("AWS::Region", "eu-west-1")]), "eu-west-1");
    assert_eq!(value("!If [Unknown, a1, b1]", &[("Open", "x")]), "a1");
}

#[test]
fn conditions_that_refer_to_themselves_end() {
    let text = "Conditions: { A: !Not [!Condition A] }\nResources: { Shop: { Type: 'AWS::AppRunner::Service', Condition: A } }\n";
    let imported = imported(&[("t", text.to_owned())], &Choices::default());
    assert_eq!(imported.services, ["Shop"]);
}

#[test]
fn services_of_the_same_name_are_told_apart() {
    let mut other = service(&image());
    other["ServiceName"] = json!("Shop");
    other["ServiceArn"] = json!("arn:aws:apprunner:us-east-1:123456789012:service/Shop/1");
    let all = json!([{ "Service": service(&code()) }, { "Service": other }]).to_string();
    let imported = imported(&[("s", all)], &Choices::default());
    assert_eq!(imported.services, ["Shop-2", "shop"]);
    assert_eq!(imported.problems.iter().filter(|p| p.severity == crate::model::Severity::Error).count(), 0);
}

#[test]
fn whatever_stands_in_a_member_the_manifest_is_one_that_we_read() {
    let hurting = [
        "",
        " ",
        "\n",
        "\0",
        "\u{2028}",
        "a: b",
        "#",
        "- x",
        "'",
        "\"",
        "--upload-pack=x",
        "../..",
        "${X}",
        "&a",
        "*a",
        "0",
        "-1",
        "99999999999999999999",
        "null",
        "true",
        "é",
        "\u{202e}x",
        "x y",
        "https://u:p@h/x",
        "PORT",
        "AWSAPPRUNNER_X",
    ];
    let plain = service(&code());
    let mut paths = Vec::new();
    leaves(&plain, "", &mut paths);
    let values =
        hurting.iter().map(|text| json!(text)).chain([json!(null), json!([]), json!({}), json!(-1), json!(1.5)]);
    let long = json!("x".repeat(5000));
    for value in values.chain([long]) {
        for path in &paths {
            let mut changed = plain.clone();
            *changed.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap() = value.clone();
            let imported = imported(&[("s", json!({ "Service": changed }).to_string())], &Choices::default());
            let errors: Vec<_> =
                imported.problems.iter().filter(|p| p.severity == crate::model::Severity::Error).collect();
            assert!(errors.is_empty(), "{path} = {value}: {errors:?}\n{}", imported.text.unwrap_or_default());
        }
    }
    for name in hurting {
        let mut changed = plain.clone();
        let values = "/SourceConfiguration/CodeRepository/CodeConfiguration/CodeConfigurationValues";
        for key in ["RuntimeEnvironmentVariables", "RuntimeEnvironmentSecrets"] {
            *changed.pointer_mut(&format!("{values}/{key}")).unwrap() = json!({ name: "v", "OK": "v" });
        }
        let imported = imported(&[("s", json!({ "Service": changed }).to_string())], &Choices::default());
        let errors: Vec<_> = imported.problems.iter().filter(|p| p.severity == crate::model::Severity::Error).collect();
        assert!(errors.is_empty(), "{name:?}: {errors:?}\n{}", imported.text.unwrap_or_default());
    }
}
