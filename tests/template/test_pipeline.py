"""pipeline.yaml: who may deploy, and the least permissions for a deployment of template.yaml."""

import fnmatch
import json
import re
import tomllib
import unittest
import warnings
from pathlib import Path

import boto3
import cfnlint
from moto import mock_aws
from samcli.yamlhelper import yaml_parse

from template import ACCOUNT, REGION, ROOT, SERVICES, Stack, VARIANTS, source

TEMPLATE = yaml_parse((ROOT / "pipeline.yaml").read_text())
PARAMETERS = {
    "GitHubRepository": "traffic-tacos/reservation-worker",
    "GitHubEnvironment": "prod",
    "WorkerStackName": "worker",
}
SCHEMAS = Path(cfnlint.__file__).parent / "data/schemas"

# Permissions that the handlers of a resource type may use, but not for a property that template.yaml sets.
NOT_USED = {
    # provisioned concurrency, capacity providers, runtime versions, file systems, tenants
    "lambda:AssociateRuntimeAlias",
    "lambda:DeleteProvisionedConcurrencyConfig",
    "lambda:PassCapacityProvider",
    "lambda:PutFunctionRecursionConfig",
    "lambda:PutFunctionScalingConfig",
    "lambda:PutProvisionedConcurrencyConfig",
    "lambda:PutRuntimeManagementConfig",
    "elasticfilesystem:DescribeMountTargets",
    "s3files:ListMountTargets",
    # keys of the bus, of variables, and of filters
    *(f"kms:{action}" for action in ("CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey")),
    *(f"kms:{action}" for action in ("GenerateDataKeyWithoutPlaintext", "ReEncrypt", "ReEncryptFrom", "ReEncryptTo")),
    # policies of the bus and of the log group, data protection, indexes, deliveries
    "events:PutPermission",
    "events:RemovePermission",
    "firehose:TagDeliveryStream",
    "logs:CreateLogDelivery",
    "logs:DeleteDataProtectionPolicy",
    "logs:DeleteIndexPolicy",
    "logs:DeleteResourcePolicy",
    "logs:PutBearerTokenAuthentication",
    "logs:PutDataProtectionPolicy",
    "logs:PutIndexPolicy",
    "logs:PutLogGroupDeletionProtection",
    "logs:PutResourcePolicy",
    "s3:REST.PUT.OBJECT",
    "sns:PutDataProtectionPolicy",
    # servers outside of AWS
    "codedeploy:RegisterOnPremisesInstance",
    # A policy that is attached to people could give them any permission. An administrator creates it.
    "iam:AttachGroupPolicy",
    "iam:AttachUserPolicy",
    "iam:CreatePolicy",
    "iam:CreatePolicyVersion",
    "iam:DeletePolicy",
    "iam:DeletePolicyVersion",
    "iam:DetachGroupPolicy",
    "iam:DetachUserPolicy",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:ListEntitiesForPolicy",
    "iam:ListPolicyVersions",
    # It would lift the limit of the roles.
    "iam:DeleteRolePermissionsBoundary",
}


def as_list(value):
    return value if isinstance(value, list) else [value]


def statements(document):
    return {statement["Sid"]: statement for statement in document["Statement"]}


def actions(document):
    """The actions that a policy allows."""
    allowed = (statement for statement in document["Statement"] if statement["Effect"] == "Allow")
    return {action for statement in allowed for action in as_list(statement["Action"])}


def needed_by_cloudformation():
    """The permissions that CloudFormation needs for the types of resources of template.yaml, as their schemas list them."""
    stacks = [Stack(parameters) for parameters in VARIANTS.values()]
    types = {resource["Type"] for stack in stacks for resource in stack.resources.values()}
    names = json.loads((SCHEMAS / "providers" / f"{REGION}.json").read_text())
    schemas = [json.loads((SCHEMAS / "resources" / f"{names[kind]}.json").read_text()) for kind in types]
    handlers = [schema["handlers"][name] for schema in schemas for name in ("create", "read", "update", "delete")
                if name in schema["handlers"]]
    return {permission for handler in handlers for permission in handler["permissions"]}


class Pipeline(unittest.TestCase):
    def setUp(self):
        self.stack = self.evaluated()

    def evaluated(self, **parameters):
        return Stack({**PARAMETERS, **parameters}, template=TEMPLATE)

    def policy(self, role, stack=None):
        (policy,) = (stack or self.stack)[role]["Policies"]
        return policy["PolicyDocument"]

    def test_only_jobs_of_one_environment_of_one_repository_can_assume_the_role(self):
        provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
        for stack, expected in ((self.stack, "GitHub"), (self.evaluated(OidcProviderArn=provider), provider)):
            (trust,) = stack["DeployRole"]["AssumeRolePolicyDocument"]["Statement"]
            self.assertEqual(trust["Principal"], {"Federated": expected})
            self.assertEqual(
                trust["Condition"],
                {
                    "StringEquals": {
                        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                        "token.actions.githubusercontent.com:sub": "repo:traffic-tacos/reservation-worker:environment:prod",
                    }
                },
            )
            self.assertEqual("GitHub" in stack.resources, expected == "GitHub")

    def test_the_job_can_change_the_stack_only_with_the_role_of_cloudformation(self):
        policy = statements(self.policy("DeployRole"))
        stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/worker/*"
        self.assertEqual(policy["Changes"]["Resource"], stack)
        self.assertEqual(
            policy["Changes"]["Condition"], {"StringEquals": {"cloudformation:RoleArn": "CloudFormationRole.Arn"}}
        )
        self.assertEqual(policy["Stack"]["Resource"], stack)
        self.assertEqual(policy["Role"]["Resource"], "CloudFormationRole.Arn")
        self.assertEqual({action.split(":")[0] for action in actions(self.policy("DeployRole"))},
                         {"cloudformation", "iam", "s3"})

    def test_the_guide_passes_the_names_of_each_environment_to_the_pipeline(self):
        guide = (ROOT / "CONTRIBUTING.md").read_text().replace("\\\n", " ")
        commands = re.findall(r"aws cloudformation deploy --template-file pipeline\.yaml .*", guide)
        self.assertEqual(len(commands), 2)
        # The runbook names the secret after the stack.
        self.assertIn('create-secret --region "$AWS_REGION" --name "$STACK"', (ROOT / "docs/operations.md").read_text())
        environments = tomllib.loads((ROOT / "samconfig.toml").read_text())
        defaults = {name: parameter.get("Default") for name, parameter in source()["Parameters"].items()}
        for command in commands:
            given = dict(re.findall(r"\b([A-Z]\w+)=(\S+)", command))
            environment = environments[given["GitHubEnvironment"]]
            stack = environment["global"]["parameters"]["stack_name"]
            overrides = environment["deploy"]["parameters"]["parameter_overrides"]
            deployed = {**defaults, **dict(override.split("=", 1) for override in overrides)}
            self.assertEqual((given["WorkerStackName"], given["SecretName"]), (stack, stack))
            for name in ("EventBusName", "ScheduleGroupName"):
                self.assertEqual(given.get(name, TEMPLATE["Parameters"][name]["Default"]), deployed[name], stack)

    def test_the_job_can_sign_only_if_the_code_is_signed(self):
        signing = self.evaluated(SignCode="true")
        added = actions(self.policy("DeployRole", signing)) - actions(self.policy("DeployRole"))
        self.assertEqual(added, {"signer:StartSigningJob", "signer:DescribeSigningJob"})
        self.assertEqual(
            signing["CodeSigningConfig"]["CodeSigningPolicies"], {"UntrustedArtifactOnDeployment": "Enforce"}
        )
        self.assertNotIn("CodeSigningConfig", self.stack.resources)

    def test_cloudformation_has_exactly_the_permissions_that_its_resource_types_need(self):
        allowed = actions(self.policy("CloudFormationRole"))
        needed = needed_by_cloudformation()
        self.assertEqual(needed - NOT_USED - allowed, set(), "missing in pipeline.yaml")
        self.assertEqual(allowed - needed, set(), "not needed in pipeline.yaml")
        self.assertEqual(NOT_USED - needed | NOT_USED & allowed, set(), "wrong in NOT_USED")

    def test_a_wildcard_is_the_resource_only_of_actions_that_support_no_arn_or_have_a_condition(self):
        for role in ("DeployRole", "CloudFormationRole"):
            for sid, statement in statements(self.policy(role)).items():
                if "*" in as_list(statement["Resource"]):
                    self.assertIn(sid, {"WithoutArn", "Mapping"})
                for action in as_list(statement["Action"]):
                    self.assertNotIn("*", action)
        (arn,) = statements(self.policy("CloudFormationRole"))["Mapping"]["Condition"]["ArnLike"].values()
        self.assertEqual(arn, f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:worker-*")

    def test_a_role_of_the_stack_cannot_get_more_than_the_boundary(self):
        policy = statements(self.policy("CloudFormationRole"))
        self.assertEqual(
            policy["BoundedRoles"]["Condition"], {"StringEquals": {"iam:PermissionsBoundary": "Boundary"}}
        )
        grants = {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"}
        self.assertLessEqual(grants, set(policy["BoundedRoles"]["Action"]))
        for sid, statement in policy.items():
            if sid != "BoundedRoles":
                self.assertFalse(grants & set(as_list(statement["Action"])), sid)

    def test_the_roles_of_the_pipeline_cannot_be_changed_by_a_deployment(self):
        policy = statements(self.policy("CloudFormationRole"))
        own = [self.stack[role]["RoleName"] for role in ("DeployRole", "CloudFormationRole")]
        for name in own:
            for sid in ("BoundedRoles", "Roles", "PassRoles"):
                pattern = policy[sid]["Resource"]
                self.assertFalse(fnmatch.fnmatch(f"arn:aws:iam::{ACCOUNT}:role/{name}", pattern), sid)

    def test_the_boundary_permits_exactly_the_actions_of_the_roles_of_the_stack(self):
        used = set()
        for parameters in VARIANTS.values():
            for role in Stack(parameters).of_type("IAM::Role").values():
                used |= {action for policy in role["Policies"] for action in actions(policy["PolicyDocument"])}
        self.assertEqual(actions(self.stack["Boundary"]["PolicyDocument"]), used)

    def test_the_boundary_does_not_cut_a_resource_from_a_role(self):
        """Each queue, log group and function of the template has a name that the boundary and the role permit."""
        stack = Stack(SERVICES)
        names = [queue["QueueName"] for queue in stack.of_type("SQS::Queue").values()]
        names += [alarm["AlarmName"] for alarm in stack.of_type("CloudWatch::Alarm").values()]
        for name in names:
            self.assertTrue(name.startswith(f"{PARAMETERS['WorkerStackName']}-"), name)
        log = statements(self.stack["Boundary"]["PolicyDocument"])["Log"]["Resource"]
        self.assertTrue(log.endswith(f":log-group:{stack['WorkerLogs']['LogGroupName']}:*"))

    def test_the_bucket_is_private_and_keeps_the_code_for_a_rollback(self):
        bucket = self.stack["Artifacts"]
        self.assertEqual(set(bucket["PublicAccessBlockConfiguration"].values()), {True})
        (rule,) = bucket["LifecycleConfiguration"]["Rules"]
        self.assertNotIn("ExpirationInDays", rule)
        self.assertEqual(bucket["VersioningConfiguration"], {"Status": "Enabled"})
        self.assertEqual(TEMPLATE["Resources"]["Artifacts"]["DeletionPolicy"], "Retain")

    def test_the_outputs_name_the_variables_that_the_workflow_reads(self):
        workflow = (ROOT / ".github/workflows/deploy.yml").read_text()
        variables = [output["Description"].split()[1] for output in TEMPLATE["Outputs"].values()
                     if output["Description"].startswith("Variable")]
        self.assertEqual(len(variables), 4)
        for variable in variables:
            self.assertIn("${{ vars.%s }}" % variable, workflow)

    @mock_aws
    def test_the_template_can_be_deployed(self):
        warnings.simplefilter("ignore")  # moto does not create the OIDC provider and the policy of the bucket
        client = boto3.client("cloudformation", region_name=REGION)
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in PARAMETERS.items()]
        client.create_stack(StackName="pipeline", TemplateBody=(ROOT / "pipeline.yaml").read_text(),
                            Parameters=parameters, Capabilities=["CAPABILITY_NAMED_IAM"])
        (stack,) = client.describe_stacks(StackName="pipeline")["Stacks"]
        self.assertEqual(stack["StackStatus"], "CREATE_COMPLETE")
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.assertEqual(outputs["DeployRoleArn"], f"arn:aws:iam::{ACCOUNT}:role/pipeline-worker-deploy")


if __name__ == "__main__":
    unittest.main()
