//! What every operation is to access control: its action, and what of its input names the resource. An operation that does not
//! stand here is none, for nobody.

use serde_json::Value;

/// What an operation is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Nothing in particular: `*`.
    All,
    /// What this member of the input names: an ARN, or a service's name.
    Of(&'static str),
    /// The connection that this member names.
    Connection(&'static str),
    /// Something that is made: its kind in ARNs, and the member with its name.
    Made(&'static str, &'static str),
    /// Something of access control: its kind in ARNs, and the member with its name.
    Identity(&'static str, &'static str),
    /// A log group of CloudWatch Logs, or one stream of it.
    LogGroup,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// `AppRunner.DeleteService`.
    pub target: &'static str,
    /// The action's service: `apprunner`, `towpath`, `iam`, `cloudtrail`, `logs`.
    pub service: &'static str,
    /// What it is done to.
    pub subject: Subject,
}

const fn app_runner(target: &'static str, subject: Subject) -> Operation {
    Operation { target, service: "apprunner", subject }
}

const fn ours(target: &'static str, subject: Subject) -> Operation {
    Operation { target, service: "towpath", subject }
}

const fn iam(target: &'static str, subject: Subject) -> Operation {
    Operation { target, service: "iam", subject }
}

const fn cloud_trail(target: &'static str, subject: Subject) -> Operation {
    Operation { target, service: "cloudtrail", subject }
}

const fn logs(target: &'static str, subject: Subject) -> Operation {
    Operation { target, service: "logs", subject }
}

use Subject::{All, Connection, Identity, LogGroup, Made, Of};

/// All operations.
pub(super) const OPERATIONS: &[Operation] = &[
    app_runner("AppRunner.AssociateCustomDomain", Of("ServiceArn")),
    app_runner(
        "AppRunner.CreateAutoScalingConfiguration",
        Made("autoscalingconfiguration", "AutoScalingConfigurationName"),
    ),
    app_runner("AppRunner.CreateConnection", Made("connection", "ConnectionName")),
    app_runner(
        "AppRunner.CreateObservabilityConfiguration",
        Made("observabilityconfiguration", "ObservabilityConfigurationName"),
    ),
    app_runner("AppRunner.CreateService", Made("service", "ServiceName")),
    app_runner("AppRunner.CreateVpcConnector", Made("vpcconnector", "VpcConnectorName")),
    app_runner("AppRunner.CreateVpcIngressConnection", Made("vpcingressconnection", "VpcIngressConnectionName")),
    app_runner("AppRunner.DeleteAutoScalingConfiguration", Of("AutoScalingConfigurationArn")),
    app_runner("AppRunner.DeleteConnection", Of("ConnectionArn")),
    app_runner("AppRunner.DeleteObservabilityConfiguration", Of("ObservabilityConfigurationArn")),
    app_runner("AppRunner.DeleteService", Of("ServiceArn")),
    app_runner("AppRunner.DeleteVpcConnector", Of("VpcConnectorArn")),
    app_runner("AppRunner.DeleteVpcIngressConnection", Of("VpcIngressConnectionArn")),
    app_runner("AppRunner.DescribeAutoScalingConfiguration", Of("AutoScalingConfigurationArn")),
    app_runner("AppRunner.DescribeCustomDomains", Of("ServiceArn")),
    app_runner("AppRunner.DescribeObservabilityConfiguration", Of("ObservabilityConfigurationArn")),
    app_runner("AppRunner.DescribeService", Of("ServiceArn")),
    app_runner("AppRunner.DescribeVpcConnector", Of("VpcConnectorArn")),
    app_runner("AppRunner.DescribeVpcIngressConnection", Of("VpcIngressConnectionArn")),
    app_runner("AppRunner.DisassociateCustomDomain", Of("ServiceArn")),
    app_runner("AppRunner.ListAutoScalingConfigurations", All),
    app_runner("AppRunner.ListConnections", All),
    app_runner("AppRunner.ListObservabilityConfigurations", All),
    app_runner("AppRunner.ListOperations", Of("ServiceArn")),
    app_runner("AppRunner.ListServices", All),
    app_runner("AppRunner.ListServicesForAutoScalingConfiguration", Of("AutoScalingConfigurationArn")),
    app_runner("AppRunner.ListTagsForResource", Of("ResourceArn")),
    app_runner("AppRunner.ListVpcConnectors", All),
    app_runner("AppRunner.ListVpcIngressConnections", All),
    app_runner("AppRunner.PauseService", Of("ServiceArn")),
    app_runner("AppRunner.ResumeService", Of("ServiceArn")),
    app_runner("AppRunner.StartDeployment", Of("ServiceArn")),
    app_runner("AppRunner.TagResource", Of("ResourceArn")),
    app_runner("AppRunner.UntagResource", Of("ResourceArn")),
    app_runner("AppRunner.UpdateDefaultAutoScalingConfiguration", Of("AutoScalingConfigurationArn")),
    app_runner("AppRunner.UpdateService", Of("ServiceArn")),
    app_runner("AppRunner.UpdateVpcIngressConnection", Of("VpcIngressConnectionArn")),
    // The same right as App Runner's own call.
    app_runner("Towpath.CreateConnection", Made("connection", "ConnectionName")),
    ours("Towpath.Apply", All),
    ours("Towpath.BeginHandshake", Connection("ConnectionName")),
    ours("Towpath.CompleteHandshake", Connection("ConnectionName")),
    ours("Towpath.CreateDeployKey", Connection("ConnectionName")),
    ours("Towpath.DescribeConnections", All),
    ours("Towpath.CancelOperation", All),
    ours("Towpath.Collect", All),
    ours("Towpath.DescribeOperation", All),
    ours("Towpath.Export", All),
    ours("Towpath.GetCommandOutput", All),
    ours("Towpath.GetLogEvents", Of("Service")),
    ours("Towpath.GetStatus", All),
    ours("Towpath.ListEvents", All),
    ours("Towpath.ListLogStreams", Of("Service")),
    ours("Towpath.ListOperations", Of("Service")),
    ours("Towpath.ListRevisions", Of("Service")),
    ours("Towpath.Plan", All),
    ours("Towpath.ProposeRevert", Of("Service")),
    ours("Towpath.ResizeCommand", All),
    ours("Towpath.Rollback", Of("Service")),
    ours("Towpath.RunCommand", Of("Service")),
    ours("Towpath.SendCommandInput", All),
    ours("Towpath.ShutDown", All),
    ours("Towpath.StopCommand", All),
    ours("Towpath.LookupAudit", All),
    ours("Towpath.VerifyAudit", All),
    cloud_trail("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents", All),
    logs("Logs_20140328.DescribeLogGroups", All),
    logs("Logs_20140328.DescribeLogStreams", LogGroup),
    logs("Logs_20140328.FilterLogEvents", LogGroup),
    logs("Logs_20140328.GetLogEvents", LogGroup),
    iam("Towpath.AddUserToGroup", Identity("group", "Group")),
    iam("Towpath.AttachPolicy", Identity("*", "Name")),
    iam("Towpath.CreateAccessKey", Identity("user", "User")),
    iam("Towpath.CreateGroup", Identity("group", "Name")),
    iam("Towpath.CreateUser", Identity("user", "Name")),
    iam("Towpath.DeleteAccessKey", All),
    iam("Towpath.DeleteGroup", Identity("group", "Name")),
    iam("Towpath.DeletePolicy", Identity("policy", "Name")),
    iam("Towpath.DeleteRole", Identity("role", "Name")),
    iam("Towpath.DeleteUser", Identity("user", "Name")),
    iam("Towpath.DetachPolicy", Identity("*", "Name")),
    iam("Towpath.GetPolicy", Identity("policy", "Name")),
    iam("Towpath.ListAccessKeys", All),
    iam("Towpath.ListGroups", All),
    iam("Towpath.ListPolicies", All),
    iam("Towpath.ListRoles", All),
    iam("Towpath.ListUsers", All),
    iam("Towpath.PutPermissionsBoundary", Identity("*", "Name")),
    iam("Towpath.PutPolicy", Identity("policy", "Name")),
    iam("Towpath.PutRole", Identity("role", "Name")),
    iam("Towpath.RemoveUserFromGroup", Identity("group", "Group")),
    iam("Towpath.UpdateAccessKey", All),
];

/// The targets of all operations that there are.
pub fn targets() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|operation| operation.target)
}

impl Operation {
    /// The operation of a target.
    pub fn find(target: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.target == target)
    }

    /// `DeleteService`.
    pub fn name(&self) -> &'static str {
        self.target.rsplit_once('.').map_or(self.target, |(_, name)| name)
    }

    /// `apprunner:DeleteService`.
    pub fn action(&self) -> String {
        format!("{}:{}", self.service, self.name())
    }
}

/// A member of an input, as text.
pub(super) fn text<'a>(input: &'a Value, member: &str) -> Option<&'a str> {
    input.get(member)?.as_str()
}
