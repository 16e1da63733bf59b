//! The language of policies by tables; the guide's four examples word for word.

use super::pattern::{Dialect, Pattern, Wild};
use super::*;
use Decision::{Allowed, ExplicitlyDenied, Fenced, NotAllowed};

const CONSOLE: &str = include_str!("../../../fixtures/policies/1-console-and-connections.json");
const NO_PROD_CONNECTIONS: &str = include_str!("../../../fixtures/policies/2-create-without-prod-connections.json");
const PREPROD: &str = include_str!("../../../fixtures/policies/3-update-preprod-with-its-scaling.json");
const OWNER: &str = include_str!("../../../fixtures/policies/4-delete-what-one-owns.json");

const HERE: &str = "arn:aws:apprunner:local-1:000000000000:";
const ID: &str = "0123456789abcdef0123456789abcdef";

fn identity(text: &str) -> Document {
    Document::read(text, Kind::Identity).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn context(keys: &[(&str, &str)]) -> Context {
    let mut context = Context::default();
    keys.iter().for_each(|(key, value)| context.set(key, *value));
    context
}

fn ask(document: &str, action: &str, resource: &str, keys: &[(&str, &str)]) -> Decision {
    let document = identity(document);
    decide_on(&Grants { identity: vec![&document], fences: vec![] }, action, resource, &context(keys))
}

fn decide_on(grants: &Grants<'_>, action: &str, resource: &str, context: &Context) -> Decision {
    let (resource, principal) = (Resource::new(resource), Principal::default());
    decide(grants, &Attempt { action, resource: &resource, context, principal: &principal })
}

fn service(name: &str) -> String {
    format!("{HERE}service/{name}/{ID}")
}

#[test]
fn the_guides_first_example_shows_everything_and_manages_connections_only() {
    for action in ["ListServices", "DescribeService", "CreateConnection", "DeleteConnection"] {
        assert_eq!(ask(CONSOLE, &format!("apprunner:{action}"), "*", &[]), Allowed, "{action}");
    }
    for action in ["apprunner:CreateService", "apprunner:DeleteService", "iam:ListUsers", "apprunner:TagResource"] {
        assert_eq!(ask(CONSOLE, action, "*", &[]), NotAllowed, "{action}");
    }
}

#[test]
fn the_guides_second_example_creates_services_but_not_with_connections_of_production() {
    let create = |connection: Option<&str>| {
        let arn = connection.map(|name| format!("{HERE}connection/{name}/{ID}"));
        let keys: Vec<_> = arn.iter().map(|arn| ("apprunner:ConnectionArn", arn.as_str())).collect();
        ask(NO_PROD_CONNECTIONS, "apprunner:CreateService", &service("shop"), &keys)
    };
    assert_eq!(create(Some("dev")), Allowed);
    assert_eq!(create(Some("production")), Allowed);
    assert_eq!(create(Some("prod")), NotAllowed);
    // Row A4: without a connection there is no key, and a negated operator matches.
    assert_eq!(create(None), Allowed);
}

#[test]
fn the_guides_third_example_updates_one_service_with_one_scaling_configuration() {
    let update = |name: &str, scaling: Option<&str>| {
        let arn = scaling.map(|scaling| format!("{HERE}autoscalingconfiguration/{scaling}/1/{ID}"));
        let keys: Vec<_> = arn.iter().map(|arn| ("apprunner:AutoScalingConfigurationArn", arn.as_str())).collect();
        ask(PREPROD, "apprunner:UpdateService", &service(name), &keys)
    };
    assert_eq!(update("preprod", Some("preprod")), Allowed);
    assert_eq!(update("preprod", Some("prod")), NotAllowed);
    assert_eq!(update("prod", Some("preprod")), NotAllowed);
    // Row A4: an absent key does not match a positive operator.
    assert_eq!(update("preprod", None), NotAllowed);
}

#[test]
fn the_guides_fourth_example_lets_the_owner_delete_by_a_tag_in_any_case() {
    let delete = |keys: &[(&str, &str)]| ask(OWNER, "apprunner:DeleteService", &service("shop"), keys);
    let me = ("aws:username", "richard-roe");
    for tag in ["Owner", "owner", "OWNER"] {
        let key = format!("apprunner:ResourceTag/{tag}");
        assert_eq!(delete(&[me, (&key, "richard-roe")]), Allowed, "{tag}");
        assert_eq!(delete(&[me, (&key, "Richard-Roe")]), NotAllowed, "{tag}");
    }
    assert_eq!(delete(&[me]), NotAllowed);
    assert_eq!(delete(&[("apprunner:ResourceTag/Owner", "richard-roe")]), NotAllowed);
    assert_eq!(delete(&[("apprunner:ResourceTag/Owner", "${aws:username}")]), NotAllowed);
    assert_eq!(ask(OWNER, "apprunner:ListServices", "*", &[me]), Allowed);
}

#[test]
fn where_two_tags_differ_in_case_only_the_one_that_is_named_counts() {
    let keys =
        [("aws:username", "me"), ("apprunner:ResourceTag/owner", "other"), ("apprunner:ResourceTag/Owner", "me")];
    assert_eq!(ask(OWNER, "apprunner:DeleteService", &service("shop"), &keys), Allowed);
}

/// A policy of one statement that allows everything on everything, under a condition.
fn when(condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}}}"#
    )
}

fn holds(condition: &str, keys: &[(&str, &str)]) -> bool {
    ask(&when(condition), "x:y", "*", keys) == Allowed
}

/// Whether a condition `{ operator: { "k": value } }` holds for a key `k` of this value.
fn compares(operator: &str, value: &str, given: &str) -> bool {
    holds(&format!(r#"{{"{operator}":{{"k":{value}}}}}"#), &[("k", given)])
}

#[test]
fn every_operator_compares_as_its_name_says() {
    for (operator, value, given, expected) in [
        ("StringEquals", r#""a*""#, "a*", true),
        ("StringEquals", r#""a*""#, "ab", false),
        ("StringEquals", r#""A""#, "a", false),
        ("StringNotEquals", r#""A""#, "a", true),
        ("StringEqualsIgnoreCase", r#""Ä""#, "ä", true),
        ("StringNotEqualsIgnoreCase", r#""A""#, "a", false),
        ("StringLike", r#""a?c*""#, "abcd", true),
        ("StringLike", r#""a?c""#, "ac", false),
        ("StringNotLike", r#""a*""#, "b", true),
        ("StringEquals", r#"["x","b"]"#, "b", true),
        ("StringNotEquals", r#"["x","b"]"#, "b", false),
        ("StringEquals", "true", "true", true),
        ("NumericEquals", "5", "5.0", true),
        ("NumericNotEquals", r#""5""#, "6", true),
        ("NumericLessThan", "5", "4.9", true),
        ("NumericLessThan", "5", "5", false),
        ("NumericLessThanEquals", "5", "5", true),
        ("NumericGreaterThan", "-1", "0", true),
        ("NumericGreaterThanEquals", "5", "4", false),
        ("NumericEquals", "5", "five", false),
        ("DateEquals", r#""2026-11-26T15:00:00Z""#, "2026-11-26T16:00:00+01:00", true),
        ("DateNotEquals", r#""2026-11-26""#, "2026-11-26T00:00:00Z", false),
        ("DateLessThan", r#""2026-11-26T15:00:00Z""#, "2026-11-26T14:59:59Z", true),
        ("DateLessThanEquals", "1795000000", "1795000000", true),
        ("DateGreaterThan", r#""2026-11-26""#, "2026-11-25", false),
        ("DateGreaterThanEquals", r#""2026-11-26""#, "2026-11-26T00:00:00Z", true),
        ("Bool", "true", "True", true),
        ("Bool", r#""false""#, "true", false),
        ("BinaryEquals", r#""aGk=""#, "aGk=", true),
        ("BinaryEquals", r#""aGk=""#, "aGo=", false),
        ("IpAddress", r#""192.0.2.0/24""#, "192.0.2.255", true),
        ("IpAddress", r#""192.0.2.0/24""#, "192.0.3.0", false),
        ("IpAddress", r#""0.0.0.0/0""#, "8.8.8.8", true),
        ("NotIpAddress", r#""192.0.2.7""#, "192.0.2.8", true),
        ("IpAddress", r#""2001:db8::/32""#, "2001:db8:1::1", true),
        ("IpAddress", r#""192.0.2.0/24""#, "::ffff:192.0.2.1", true),
        ("IpAddress", r#""192.0.2.0/24""#, "nowhere", false),
        ("ArnEquals", r#""arn:aws:iam::*:user/*""#, "arn:aws:iam::1:user/a/b", true),
        ("ArnLike", r#""arn:aws:iam::*:user/a""#, "arn:aws:iam::1:2:user/a", false),
        ("ArnNotEquals", r#""arn:aws:iam::1:user/a""#, "arn:aws:iam::1:user/b", true),
        ("ArnNotLike", r#""arn:aws:iam::*:user/?""#, "arn:aws:iam::1:user/b", false),
    ] {
        assert_eq!(compares(operator, value, given), expected, "{operator} {value} {given}");
    }
}

#[test]
fn an_absent_key_fails_positive_operators_and_passes_negated_ones_null_and_if_exists() {
    for (condition, expected) in [
        (r#"{"StringEquals":{"k":"v"}}"#, false),
        (r#"{"StringNotEquals":{"k":"v"}}"#, true),
        (r#"{"StringEqualsIfExists":{"k":"v"}}"#, true),
        (r#"{"Bool":{"k":"false"}}"#, false),
        (r#"{"NumericLessThanIfExists":{"k":"1"}}"#, true),
        (r#"{"NotIpAddress":{"k":"192.0.2.1"}}"#, true),
        (r#"{"Null":{"k":"true"}}"#, true),
        (r#"{"Null":{"k":"false"}}"#, false),
        (r#"{"ForAllValues:StringEquals":{"k":"v"}}"#, true),
        (r#"{"ForAnyValue:StringEquals":{"k":"v"}}"#, false),
        (r#"{"ForAnyValue:StringNotEquals":{"k":"v"}}"#, false),
        (r#"{"ForAnyValue:StringLikeIfExists":{"k":"v"}}"#, true),
        (r#"{"StringNotEquals":{"k":"v"},"Null":{"k":"false"}}"#, false),
        ("{}", true),
    ] {
        assert_eq!(holds(condition, &[]), expected, "{condition}");
    }
    assert!(
        holds(r#"{"Null":{"K":false}}"#, &[("k", "")])
            && !holds(r#"{"StringEqualsIfExists":{"k":"v"}}"#, &[("k", "w")])
    );
}

#[test]
fn sets_are_compared_by_all_or_any_of_their_values() {
    let tags = |operator: &str, given: &[&str]| {
        let text = format!(r#"{{"{operator}":{{"aws:TagKeys":["team","owner"]}}}}"#);
        let document = identity(&when(&text));
        let mut context = Context::default();
        context.set_many("aws:TagKeys", given.iter().map(|v| (*v).to_owned()).collect());
        decide_on(&Grants { identity: vec![&document], fences: vec![] }, "x:y", "*", &context) == Allowed
    };
    for (operator, given, expected) in [
        ("ForAllValues:StringEquals", vec!["team"], true),
        ("ForAllValues:StringEquals", vec!["team", "x"], false),
        ("ForAllValues:StringEquals", vec![], true),
        ("ForAnyValue:StringEquals", vec!["x", "team"], true),
        ("ForAnyValue:StringEquals", vec!["x"], false),
        ("ForAnyValue:StringEquals", vec![], false),
        ("ForAllValues:StringNotEquals", vec!["x", "y"], true),
        ("ForAllValues:StringNotEquals", vec!["x", "team"], false),
        ("ForAnyValue:StringNotEquals", vec!["x", "team"], true),
        ("ForAnyValue:StringNotEquals", vec!["team"], false),
        ("StringEquals", vec!["x", "team"], true),
        ("StringNotEquals", vec!["x", "team"], false),
    ] {
        assert_eq!(tags(operator, &given), expected, "{operator} {given:?}");
    }
}

#[test]
fn variables_take_the_requests_values_their_defaults_or_match_nothing() {
    let like = |value: &str, keys: &[(&str, &str)]| holds(&format!(r#"{{"StringLike":{{"k":"{value}"}}}}"#), keys);
    assert!(like("${aws:username}-*", &[("k", "me-1"), ("aws:username", "me")]));
    assert!(like("${AWS:UserName}", &[("k", "me"), ("aws:username", "me")]));
    // What a user can choose must not become a wildcard.
    assert!(!like("${aws:username}", &[("k", "anything"), ("aws:username", "*")]));
    assert!(like("${aws:PrincipalTag/team, 'none'}", &[("k", "none")]));
    assert!(like("${aws:PrincipalTag/team, 'none'}", &[("k", "a"), ("aws:principaltag/TEAM", "a")]));
    assert!(!like("${aws:username}", &[("k", "")]) && !like("${aws:username}*", &[("k", "x")]));
    assert!(like("a${*}${?}${$}", &[("k", "a*?$")]) && !like("a${*}", &[("k", "ab")]));
    let negated = r#"{"StringNotEquals":{"k":"${aws:username}"}}"#;
    assert!(holds(negated, &[("k", "x")]));
    // In resources too.
    let own = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:apprunner:*:*:service/${aws:username}-*"}}"#;
    assert_eq!(ask(own, "x:y", &service("me-shop"), &[("aws:username", "me")]), Allowed);
    assert_eq!(ask(own, "x:y", &service("you-shop"), &[("aws:username", "me")]), NotAllowed);
    // Without the version of 2012 they are text like any other.
    let plain = own.replace("2012-10-17", "2008-10-17");
    assert_eq!(ask(&plain, "x:y", &service("me-shop"), &[("aws:username", "me")]), NotAllowed);
    assert_eq!(ask(&plain, "x:y", &service("${aws:username}-shop"), &[]), Allowed);
}

#[test]
fn actions_and_resources_match_by_wildcards_actions_in_any_case() {
    let one = |action: &str, resource: &str| format!(r#"{{"Statement":{{"Effect":"Allow",{action},{resource}}}}}"#);
    let shop = service("shop");
    for (action, resource, asked, of, expected) in [
        (r#""Action":"AppRunner:list*""#, r#""Resource":"*""#, "apprunner:ListServices", "*", Allowed),
        (r#""Action":"apprunner:?istServices""#, r#""Resource":"*""#, "apprunner:ListServices", "*", Allowed),
        (r#""Action":"apprunner:List""#, r#""Resource":"*""#, "apprunner:ListServices", "*", NotAllowed),
        (r#""NotAction":"apprunner:Delete*""#, r#""Resource":"*""#, "apprunner:DeleteService", "*", NotAllowed),
        (r#""NotAction":"apprunner:Delete*""#, r#""Resource":"*""#, "iam:CreateUser", "*", Allowed),
        (r#""Action":"*""#, r#""Resource":"arn:aws:apprunner:*:*:service/shop/*""#, "a:b", &shop, Allowed),
        (r#""Action":"*""#, r#""Resource":"arn:aws:apprunner:*:*:service/SHOP/*""#, "a:b", &shop, NotAllowed),
        // Row R6: without the id.
        (
            r#""Action":"*""#,
            r#""Resource":"arn:aws:apprunner:local-1:000000000000:service/shop""#,
            "a:b",
            &shop,
            Allowed,
        ),
        (r#""Action":"*""#, r#""NotResource":"arn:aws:apprunner:*:*:service/shop""#, "a:b", &shop, NotAllowed),
        (r#""Action":"*""#, r#""NotResource":"arn:aws:apprunner:*:*:service/prod/*""#, "a:b", &shop, Allowed),
        // A wildcard does not reach over a colon.
        (r#""Action":"*""#, r#""Resource":"arn:aws:*:*:*:shop""#, "a:b", "arn:aws:x:1:2:y:shop", NotAllowed),
        (r#""Action":"*""#, r#""Resource":"arn:aws:*:*:*:*shop""#, "a:b", "arn:aws:x:1:2:y:shop", Allowed),
        (r#""Action":"*""#, r#""Resource":"arn:aws:apprunner:*:*:service/*""#, "a:b", "*", NotAllowed),
    ] {
        assert_eq!(ask(&one(action, resource), asked, of, &[]), expected, "{action} {resource} {asked} {of}");
    }
}

#[test]
fn an_explicit_deny_wins_and_fences_have_to_allow_as_well() {
    let everything = identity(managed::MANAGED[0].document);
    let deny = identity(r#"{"Statement":[{"Effect":"Deny","Action":"apprunner:DeleteService","Resource":"*"}]}"#);
    let reading = identity(managed::MANAGED[2].document);
    let ask = |identity: Vec<&Document>, fences: Vec<&Document>, action: &str| {
        decide_on(&Grants { identity, fences }, action, "*", &Context::default())
    };
    assert_eq!(ask(vec![&everything, &deny], vec![], "apprunner:DeleteService"), ExplicitlyDenied);
    assert_eq!(ask(vec![&deny, &everything], vec![], "apprunner:PauseService"), Allowed);
    assert_eq!(ask(vec![&everything], vec![&reading], "apprunner:PauseService"), Fenced);
    assert_eq!(ask(vec![&everything], vec![&reading], "apprunner:ListServices"), Allowed);
    assert_eq!(ask(vec![&everything], vec![&everything, &deny], "apprunner:DeleteService"), ExplicitlyDenied);
    // A fence gives nothing.
    assert_eq!(ask(vec![], vec![&everything], "apprunner:ListServices"), NotAllowed);
    assert_eq!(ask(vec![], vec![], "apprunner:ListServices"), NotAllowed);
}

#[test]
fn managed_policies_are_read_and_say_what_the_guide_says() {
    for policy in managed::MANAGED {
        identity(policy.document);
    }
    let [_, full, reading, ..] = managed::MANAGED;
    assert_eq!(full.arn(), "arn:aws:iam::aws:policy/AWSAppRunnerFullAccess");
    assert_eq!(ask(full.document, "apprunner:DeleteService", &service("shop"), &[]), Allowed);
    let role = "arn:aws:iam::000000000000:role/r";
    let pass = |service: &str| ask(full.document, "iam:PassRole", role, &[("iam:PassedToService", service)]);
    assert_eq!((pass("apprunner.amazonaws.com"), pass("ec2.amazonaws.com")), (Allowed, NotAllowed));
    assert_eq!(ask(reading.document, "apprunner:StartDeployment", &service("shop"), &[]), NotAllowed);
}

#[test]
fn trust_policies_tell_who_is_meant_by_name_from_who_is_by_account() {
    let trusts = |principal: &str, who: &Principal| {
        let text = format!(r#"{{"Statement":{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}}}"#);
        let document = Document::read(&text, Kind::Trust).unwrap();
        let (resource, context) = (Resource::new("*"), Context::default());
        trust(&document, &Attempt { action: "sts:AssumeRole", resource: &resource, context: &context, principal: who })
    };
    let me = Principal {
        arns: vec!["arn:aws:iam::000000000000:user/me".into()],
        account: "000000000000".into(),
        service: None,
    };
    let build = Principal { service: Some("build.apprunner.amazonaws.com".into()), ..Principal::default() };
    for (principal, expected) in [
        (r#"{"AWS":"arn:aws:iam::000000000000:user/me"}"#, Trust::Direct),
        (r#"{"AWS":"arn:aws:iam::000000000000:user/you"}"#, Trust::None),
        (r#"{"AWS":"000000000000"}"#, Trust::Account),
        (r#"{"AWS":"arn:aws:iam::000000000000:root"}"#, Trust::Account),
        (r#"{"AWS":"000000000001"}"#, Trust::None),
        (r#""*""#, Trust::Direct),
        (r#"{"AWS":"*"}"#, Trust::Direct),
        (r#"{"Service":"build.apprunner.amazonaws.com"}"#, Trust::None),
        (r#"{"AWS":["000000000001","000000000000"]}"#, Trust::Account),
    ] {
        assert_eq!(trusts(principal, &me), expected, "{principal}");
    }
    assert_eq!(trusts(r#"{"Service":"build.apprunner.amazonaws.com"}"#, &build), Trust::Direct);
    assert_eq!(trusts(r#"{"Service":"tasks.apprunner.amazonaws.com"}"#, &build), Trust::None);
}

#[test]
fn what_is_not_the_language_is_refused_with_its_place() {
    let statement = |inside: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{{{inside}}}]}}"#);
    let good = r#""Effect":"Allow","Action":"a:b","Resource":"*""#;
    identity(&statement(good));
    for (text, words) in [
        ("".to_owned(), "not JSON"),
        ("[]".into(), "JSON object"),
        ("{}".into(), "needs `Statement`"),
        (r#"{"Statement":[]}"#.into(), "needs `Statement`"),
        (r#"{"Version":"2012","Statement":{}}"#.into(), "`Version`"),
        (r#"{"Statements":[]}"#.into(), "`Statements` is no member"),
        (statement(r#""Action":"a:b","Resource":"*""#), "needs `Effect`"),
        (statement(r#""Effect":"allow","Action":"a:b","Resource":"*""#), "`Effect`"),
        (statement(r#""Effect":"Allow","Resource":"*""#), "needs `Action`"),
        (statement(r#""Effect":"Allow","Action":"a:b""#), "needs `Resource`"),
        (statement(r#""Effect":"Allow","Action":[],"Resource":"*""#), "`Action` must be"),
        (statement(r#""Effect":"Allow","Action":"ab","Resource":"*""#), "no action like"),
        (statement(r#""Effect":"Allow","Action":"a: b","Resource":"*""#), "no action like"),
        (statement(&format!(r#"{good},"NotAction":"a:c""#)), "opposite"),
        (statement(&format!(r#"{good},"Effect":"Deny""#)), "twice"),
        (statement(&format!(r#"{good},"Resources":"*""#)), "`Resources` is no member"),
        (statement(&format!(r#"{good},"Principal":"*""#)), "names a principal"),
        (statement(r#""Effect":"Allow","Action":"a:b","Resource":"arn:aws:apprunner:*""#), "six parts"),
        (statement(r#""Effect":"Allow","Action":"a:b","Resource":"arn:aws:a:b:c:${x""#), "without its `}`"),
        (statement(&format!(r#"{good},"Condition":{{"StringEqual":{{"k":"v"}}}}"#)), "not a condition operator"),
        (statement(&format!(r#"{good},"Condition":{{"NullIfExists":{{"k":"true"}}}}"#)), "not a condition operator"),
        (statement(&format!(r#"{good},"Condition":{{"NumericEquals":{{"k":"x"}}}}"#)), "not a number"),
        (statement(&format!(r#"{good},"Condition":{{"IpAddress":{{"k":"10.0.0.0/33"}}}}"#)), "not an address"),
        (statement(&format!(r#"{good},"Condition":{{"Bool":{{"k":[]}}}}"#)), "must be a string"),
        (
            format!(r#"{{"Statement":[{{{good},"Sid":"x"}},{{{good},"Sid":"x"}}]}}"#),
            "Statement[1]: the Sid `x` stands twice",
        ),
        (format!("{}{}", "[".repeat(5000), "]".repeat(5000)), "not JSON"),
        (" ".repeat(20_000), "longer than"),
    ] {
        let error = Document::read(&text, Kind::Identity).expect_err(&text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    for (text, words) in [
        (r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}"#, "needs `Principal`"),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::1:user/*"}}}"#,
            "names nobody",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"User":"x"}}}"#,
            "no kind of principal",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"}}"#,
            "names a resource",
        ),
    ] {
        let error = Document::read(text, Kind::Trust).expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

/// The quick ways of matching are held against the plain one.
#[test]
fn a_pattern_matches_the_same_whether_it_is_looked_at_by_bytes_or_by_characters() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut text = |letters: &[&str], most: usize| -> String {
        (0..random.usize(0..=most)).map(|_| letters[random.usize(0..letters.len())]).collect()
    };
    let mut context = Context::default();
    context.set("aws:username", "a*b");
    let mut matched = 0;
    for _ in 0..20_000 {
        let (pattern, text) = (text(&["a", "b", "*", "?", "${aws:username}"], 6), text(&["a", "b", "*"], 8));
        let quick = Pattern::read(&pattern, Dialect::Variables, Wild::Yes).unwrap().matches(&text, &context);
        // A character beyond ASCII at the end of both takes the other way, and changes nothing else.
        let (long_pattern, long) = (format!("{pattern}é"), format!("{text}é"));
        let plain = Pattern::read(&long_pattern, Dialect::Variables, Wild::Yes).unwrap();
        let plain = plain.resolve(&context).is_some_and(|pattern| pattern.matches(&long));
        assert_eq!(quick, plain, "{pattern:?} on {text:?}");
        matched += usize::from(quick);
    }
    assert!(matched > 500, "only {matched} matched");
}
