// The life of a service with the JavaScript SDK: its classes of errors, its paginators, its dates. Exits non-zero with the reason.
//   node app_runner.mjs ENDPOINT REPOSITORY_URL
import assert from 'node:assert/strict';
import { setTimeout as rest } from 'node:timers/promises';
import * as sdk from '@aws-sdk/client-apprunner';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';

const [endpoint, url] = process.argv.slice(2);
const sts = new STSClient({ endpoint });
const client = new sdk.AppRunnerClient({ endpoint });
const call = (name, input = {}) => client.send(new sdk[`${name}Command`](input));

async function refused(kind, name, input) {
  await assert.rejects(call(name, input), error => {
    assert.ok(error instanceof sdk[kind], `${name}: ${error.name}: ${error.message}`);
    assert.ok(error.message && error.$metadata.requestId, 'an error has a message and a request id');
    return true;
  });
}

async function until(arn, status) {
  for (let end = Date.now() + 90_000; ;) {
    const { Service } = await call('DescribeService', { ServiceArn: arn });
    if (Service.Status === status) return Service;
    assert.ok(Service.Status === 'OPERATION_IN_PROGRESS' && Date.now() < end, `${Service.Status}, not ${status}`);
    await rest(300);
  }
}

async function all(paginate, input, list) {
  const items = [];
  for await (const page of paginate({ client, pageSize: 1 }, input)) items.push(...page[list]);
  return items;
}

const who = await sts.send(new GetCallerIdentityCommand({}));
assert.match(who.Arn, /:user\/admin$/);

const source = {
  CodeRepository: {
    RepositoryUrl: url,
    SourceCodeVersion: { Type: 'BRANCH', Value: 'main' },
    CodeConfiguration: {
      ConfigurationSource: 'API',
      CodeConfigurationValues: { Runtime: 'PYTHON_3', BuildCommand: 'true', StartCommand: 'python3 app.py', RuntimeEnvironmentVariables: { A: 'b' } },
    },
  },
};
const made = await call('CreateService', { ServiceName: 'javascript', SourceConfiguration: source, Tags: [{ Key: 'by', Value: 'js' }] });
const arn = made.Service.ServiceArn;
assert.equal(made.Service.Status, 'OPERATION_IN_PROGRESS');
assert.ok(made.Service.CreatedAt instanceof Date);
await refused('InvalidRequestException', 'CreateService', { ServiceName: 'javascript', SourceConfiguration: source });
const running = await until(arn, 'RUNNING');
assert.deepEqual(running.SourceConfiguration.CodeRepository.CodeConfiguration.CodeConfigurationValues.RuntimeEnvironmentVariables, { A: 'b' });
await refused('InvalidStateException', 'ResumeService', { ServiceArn: arn });
await refused('ResourceNotFoundException', 'DescribeService', { ServiceArn: arn.replace(/[0-9a-f]{32}$/, '0'.repeat(32)) });

await call('PauseService', { ServiceArn: arn });
await until(arn, 'PAUSED');
await call('ResumeService', { ServiceArn: arn });
await until(arn, 'RUNNING');
const { OperationId } = await call('StartDeployment', { ServiceArn: arn });
await until(arn, 'RUNNING');
const operations = await all(sdk.paginateListOperations, { ServiceArn: arn }, 'OperationSummaryList');
assert.deepEqual(operations.map(o => o.Type), ['START_DEPLOYMENT', 'RESUME_SERVICE', 'PAUSE_SERVICE', 'CREATE_SERVICE']);
assert.equal(operations[0].Id, OperationId);
const services = await all(sdk.paginateListServices, {}, 'ServiceSummaryList');
assert.ok(services.some(s => s.ServiceArn === arn));

const scaling = await call('CreateAutoScalingConfiguration', { AutoScalingConfigurationName: 'javascript', MaxSize: 2 });
const configuration = scaling.AutoScalingConfiguration.AutoScalingConfigurationArn;
const names = await all(sdk.paginateListAutoScalingConfigurations, {}, 'AutoScalingConfigurationSummaryList');
assert.ok(names.some(c => c.AutoScalingConfigurationArn === configuration));
await call('DeleteAutoScalingConfiguration', { AutoScalingConfigurationArn: configuration });
const tags = await call('ListTagsForResource', { ResourceArn: arn });
assert.deepEqual(tags.Tags, [{ Key: 'by', Value: 'js' }]);

await call('DeleteService', { ServiceArn: arn });
const gone = await until(arn, 'DELETED');
assert.ok(gone.DeletedAt instanceof Date);
