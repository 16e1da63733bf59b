//! Managed policies: there from the start, under AWS' names where AWS has them (row A3). A release never takes a right out of
//! one; what changes is listed in the changelog.

/// A managed policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Managed {
    /// Its name.
    pub name: &'static str,
    /// What is between `policy/` and the name in its ARN.
    pub path: &'static str,
    /// Its document.
    pub document: &'static str,
}

/// All of them.
pub const MANAGED: [Managed; 6] = [
    Managed { name: "AdministratorAccess", path: "", document: ADMINISTRATOR },
    Managed { name: "AWSAppRunnerFullAccess", path: "", document: FULL },
    Managed { name: "AWSAppRunnerReadOnlyAccess", path: "", document: READ_ONLY },
    Managed { name: "AWSAppRunnerServicePolicyForECRAccess", path: "service-role/", document: ECR },
    Managed { name: "TowpathFullAccess", path: "", document: TOWPATH_FULL },
    Managed { name: "TowpathReadOnlyAccess", path: "", document: TOWPATH_READ_ONLY },
];

impl Managed {
    /// Its ARN: AWS' own.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy/{}{}", self.path, self.name)
    }
}

/// Everything, as AWS' policy of that name.
const ADMINISTRATOR: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }]
}"#;

/// As in the developer guide.
const READ_ONLY: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": ["apprunner:List*", "apprunner:Describe*"],
      "Resource": "*"
    }
  ]
}"#;

/// As in the developer guide.
const FULL: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "iam:CreateServiceLinkedRole",
      "Resource": "arn:aws:iam::*:role/aws-service-role/apprunner.amazonaws.com/AWSServiceRoleForAppRunner",
      "Condition": { "StringLike": { "iam:AWSServiceName": "apprunner.amazonaws.com" } }
    },
    {
      "Effect": "Allow",
      "Action": "iam:PassRole",
      "Resource": "*",
      "Condition": { "StringLike": { "iam:PassedToService": "apprunner.amazonaws.com" } }
    },
    {
      "Effect": "Allow",
      "Action": ["kms:DescribeKey", "kms:CreateGrant"],
      "Resource": "*"
    },
    {
      "Sid": "Administrative permission over AppRunner applications",
      "Effect": "Allow",
      "Action": "apprunner:*",
      "Resource": "*"
    }
  ]
}"#;

/// As in the developer guide.
const ECR: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:DescribeImages",
        "ecr:GetAuthorizationToken"
      ],
      "Resource": "*"
    }
  ]
}"#;

/// The `towpath` command from afar: everything of services.
const TOWPATH_FULL: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [{ "Effect": "Allow", "Action": ["towpath:*", "apprunner:*", "logs:*"], "Resource": "*" }]
}"#;

/// The `towpath` command from afar: looking only.
const TOWPATH_READ_ONLY: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "towpath:GetStatus", "towpath:GetLogEvents", "towpath:List*", "towpath:Describe*", "towpath:Plan",
        "apprunner:List*", "apprunner:Describe*", "logs:Describe*", "logs:Get*", "logs:Filter*"
      ],
      "Resource": "*"
    }
  ]
}"#;
