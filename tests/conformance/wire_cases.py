"""Case by case through the model and the documented semantics: whatever may come in over the wire, and what has to come of it.

Run by tests/it/conformance.rs beside conformance.py, whose checker sees every answer here too. Needs CONF_REPO_URL; the services
that it makes are never waited for longer than CONF_TIMEOUT.
"""
import json, os, uuid

import boto3, pytest
from botocore.credentials import Credentials

import conformance as c
from conformance import BAD_INPUT, LISTS, MODEL, OPS, call, err_code, expect_error, fake_arn, minimal, raw, rnd, wait_service

AR = c.make_client()
ACCOUNT = c.account_of(AR)
NOT_THERE = ('ResourceNotFoundException',)


def declared(op): return {s.name for s in MODEL.operation_model(op).error_shapes}


def here(params): return json.loads(json.dumps(params).replace(':123456789012:', f':{ACCOUNT}:'))


def asc(**given):
    name = given.pop('name', 'wire-' + rnd())
    return call(AR, 'CreateAutoScalingConfiguration', AutoScalingConfigurationName=name, **given)['AutoScalingConfiguration']


def code(**values):
    values = {'Runtime': 'PYTHON_3', 'BuildCommand': 'true', 'StartCommand': 'python3 app.py', 'Port': '8080', **values}
    return {'CodeRepository': {'RepositoryUrl': os.environ['CONF_REPO_URL'], 'SourceCodeVersion': {'Type': 'BRANCH', 'Value': 'main'},
                               'CodeConfiguration': {'ConfigurationSource': 'API', 'CodeConfigurationValues': values}},
            'AutoDeploymentsEnabled': False}


# ---------------------------------------------------------------- every constraint of the model
@pytest.mark.parametrize('op,what,path,bad', [case for n, case in enumerate(c.all_negative_cases()) if n % 3 == 0],
                         ids=lambda x: str(x)[:60] if isinstance(x, str) else '')
def test_every_third_bad_input(op, what, path, bad): c.test_bad_input(AR, op, what, path, bad)


def places(shape, path=()):
    """every place in a structure, with its shape"""
    for name, member in shape.members.items():
        yield path + (name,), member
        if member.type_name == 'structure': yield from places(member, path + (name,))
        if member.type_name == 'list' and member.member.type_name == 'structure': yield from places(member.member, path + (name, 0))


PLACES = [(op, path, shape) for op in OPS for path, shape in places(MODEL.operation_model(op).input_shape)]
WRONG = {'string': [7, True, [], {}, 1.5], 'integer': ['1', True, 1.5, [], {}], 'boolean': ['true', 1, 0, [], {}],
         'list': [{}, 'x', 1, True], 'map': [[], 'x', 1, True], 'structure': [[], 'x', 1, True]}


@pytest.mark.parametrize('op', OPS)
def test_another_json_type_anywhere_is_refused_as_the_callers_fault(op):
    for path, shape in [(p, s) for o, p, s in PLACES if o == op]:
        for wrong in WRONG[shape.type_name]:
            params = minimal(op)
            try: c.put(params, path, wrong)
            except (TypeError, KeyError, AttributeError): continue      # the sample has no such place
            status, _, body = raw(f'AppRunner.{op}', params)
            assert status == 400 and err_code(body) in ('SerializationException', *BAD_INPUT), (path, wrong, status, body)


@pytest.mark.parametrize('op', OPS)
def test_null_is_absent_and_unknown_members_are_ignored(op):
    shape = MODEL.operation_model(op).input_shape
    plain = raw(f'AppRunner.{op}', here(minimal(op)) if not op.startswith('Create') else {})
    params = here(minimal(op)) if not op.startswith('Create') else {}
    params.update({k: None for k in shape.members if k not in params})
    params['Bogus'] = {'deep': [1, {'x': None}]}
    nulls = raw(f'AppRunner.{op}', params)
    assert (plain[0], err_code(plain[2])) == (nulls[0], err_code(nulls[2])), (plain[2], nulls[2])
    for name in shape.required_members:
        params = here(minimal(op)); params[name] = None
        status, _, body = raw(f'AppRunner.{op}', params)
        assert status == 400 and err_code(body) in BAD_INPUT, (name, status, body)


@pytest.mark.parametrize('op', OPS)
def test_an_empty_body_is_an_empty_object(op):
    status, _, body = raw(f'AppRunner.{op}', b'')
    if MODEL.operation_model(op).input_shape.required_members: assert status == 400 and err_code(body) in BAD_INPUT, body
    else: assert status == 200, body


def test_numbers_beyond_every_range_are_the_callers_fault():
    for number in ('1e400', '-1e400', '9' * 400, '-' + '9' * 40, '9223372036854775808', '-9223372036854775809', '1E5', '0.0', '-0'):
        status, _, body = raw('AppRunner.ListServices', f'{{"MaxResults": {number}}}'.encode())
        assert status == 400 and err_code(body) in ('SerializationException', *BAD_INPUT), (number, body)
    for name in ('MinSize', 'MaxSize', 'MaxConcurrency'):
        body = f'{{"AutoScalingConfigurationName": "wire-{rnd()}", "{name}": 99999999999999999999}}'.encode()
        status, _, answer = raw('AppRunner.CreateAutoScalingConfiguration', body)
        assert status == 400 and err_code(answer) in ('SerializationException', *BAD_INPUT), (name, answer)


def test_json_of_every_ugly_kind_is_the_callers_fault():
    deep = b'{"a":' * 5000 + b'1' + b'}' * 5000
    for body in (b'\xef\xbb\xbf{}', b'{} {}', b'{}x', b"{'a': 1}", b'{"a": NaN}', b'{"a": 01}', b'{"a": "\xff"}', b'null', b'1', b'true',
                 b'[' * 100_000, deep, b'{"a": "\\ud800"}', b'{"MaxResults": 1,}', b'\x00', b'{"a"}'):
        status, _, answer = raw('AppRunner.ListServices', body)
        assert status == 400 and err_code(answer) == 'SerializationException', (body[:40], answer)
    status, _, answer = raw('AppRunner.ListServices', b' \r\n\t{ } \n')
    assert status == 200, answer


def test_targets_and_methods_that_are_none():
    for target in ('AppRunner', 'AppRunner.', '.ListServices', 'apprunner.ListServices', 'AppRunner.listServices', 'AppRunner.ListServices.x',
                   'AppRunner_20200515.ListServices', 'AppRunner/ListServices', 'A' * 5000):
        status, headers, body = raw(target, {})
        assert status in (400, 404) and err_code(body) == 'UnknownOperationException', (target[:40], status, body)
        assert {k.lower(): v for k, v in headers.items()}['x-amzn-errortype'] == 'UnknownOperationException'
    status, _, body = raw('AppRunner.ListServices', {}, content_type='application/xml')
    assert status == 400 and err_code(body) in ('SerializationException', 'UnknownOperationException'), body


# ---------------------------------------------------------------- ARNs
TAKES_ARN = [(op, k) for op in OPS for k, m in MODEL.operation_model(op).input_shape.members.items()
             if m.name == 'AppRunnerResourceArn' and k in MODEL.operation_model(op).input_shape.required_members]


@pytest.mark.parametrize('op,member', TAKES_ARN)
def test_arns_of_elsewhere_and_of_other_kinds_name_nothing(op, member):
    good = here(minimal(op))[member]
    region = good.split(':')[3]
    elsewhere = [good.replace(f':{region}:', ':elsewhere-9:'), good.replace(f':{ACCOUNT}:', ':999999999999:'),
                 good.replace(':apprunner:', ':ecs:'), good.replace(ACCOUNT + ':', ACCOUNT + ':coffee/'), good + '/more/and/more',
                 good.rsplit('/', 1)[0] + '/' + 'Z' * 32, f'arn:aws:apprunner:{region}:{ACCOUNT}:service', f'arn:aws:apprunner:{region}:{ACCOUNT}:/',
                 f'arn:aws:apprunner:{region}:{ACCOUNT}:connection//'] + [fake_arn(kind, ACCOUNT) for kind in c.ARN]
    for arn in elsewhere:
        expect_error(lambda: call(AR, op, **{**here(minimal(op)), member: arn}), *BAD_INPUT, *(NOT_THERE if NOT_THERE[0] in declared(op) else ()))
    for arn in ('x', 'arn', 'arn:aws', 'arn:aws:apprunner', 'service/x', good.replace('arn:', 'ARN:'), good.replace(ACCOUNT, '12345'), good + '*',
                good + '\n', ' ' + good, good + '\u00e9', 'arn:aws:apprunner:::service/x', 'a' * 1012):
        expect_error(lambda: call(AR, op, **{**here(minimal(op)), member: arn}), *BAD_INPUT)


# ---------------------------------------------------------------- pages
def test_a_token_is_good_for_its_own_list_and_parameters_only():
    made = [asc()['AutoScalingConfigurationArn'] for _ in range(3)]
    obs = [call(AR, 'CreateObservabilityConfiguration', ObservabilityConfigurationName='wire-' + rnd())['ObservabilityConfiguration'] for _ in range(2)]
    try:
        token = call(AR, 'ListAutoScalingConfigurations', MaxResults=1)['NextToken']
        other = call(AR, 'ListObservabilityConfigurations', MaxResults=1)['NextToken']
        assert 1 <= len(token) <= 1024
        call(AR, 'ListAutoScalingConfigurations', MaxResults=1, NextToken=token)
        call(AR, 'ListAutoScalingConfigurations', MaxResults=1, NextToken=token)
        for op in LISTS:
            if op in ('ListAutoScalingConfigurations',): continue
            params = here(minimal(op))
            expect_error(lambda: call(AR, op, **params, MaxResults=1, NextToken=token), *BAD_INPUT, *NOT_THERE)
        for params in ({'NextToken': other, 'MaxResults': 1}, {'NextToken': token, 'MaxResults': 2}, {'NextToken': token, 'MaxResults': 1, 'LatestOnly': False},
                       {'NextToken': token[:-1], 'MaxResults': 1}, {'NextToken': token + 'A', 'MaxResults': 1}, {'NextToken': token.swapcase(), 'MaxResults': 1},
                       {'NextToken': '\u00fc', 'MaxResults': 1}):
            expect_error(lambda: call(AR, 'ListAutoScalingConfigurations', **params), *BAD_INPUT)
        whole = [x['AutoScalingConfigurationArn'] for x in call(AR, 'ListAutoScalingConfigurations')['AutoScalingConfigurationSummaryList']]
        for size in (1, 2, 3, 100):
            paged = [x['AutoScalingConfigurationArn'] for x in c.pages(AR, 'ListAutoScalingConfigurations', 'AutoScalingConfigurationSummaryList', size)]
            assert paged == whole
        assert len(set(whole)) == len(whole) and set(made) <= set(whole)
    finally:
        for arn in made: call(AR, 'DeleteAutoScalingConfiguration', AutoScalingConfigurationArn=arn)
        for x in obs: call(AR, 'DeleteObservabilityConfiguration', ObservabilityConfigurationArn=x['ObservabilityConfigurationArn'])


# ---------------------------------------------------------------- tags
KINDS = {
    'asc': ('CreateAutoScalingConfiguration', {'AutoScalingConfigurationName': 'wire-'}, 'AutoScalingConfiguration'),
    'obs': ('CreateObservabilityConfiguration', {'ObservabilityConfigurationName': 'wire-'}, 'ObservabilityConfiguration'),
    'connection': ('CreateConnection', {'ConnectionName': 'wire-', 'ProviderType': 'BITBUCKET'}, 'Connection'),
    'vpcc': ('CreateVpcConnector', {'VpcConnectorName': 'wire-', 'Subnets': ['subnet-1']}, 'VpcConnector'),
}


@pytest.mark.parametrize('kind', KINDS)
def test_tags_of_every_kind_of_resource(kind):
    op, params, word = KINDS[kind]
    params = {k: v + rnd() if v == 'wire-' else v for k, v in params.items()}
    for tags in ([{'Key': 'a', 'Value': '1'}, {'Key': 'a', 'Value': '2'}], [{'Key': 'aws:a', 'Value': '1'}], [{'Value': '1'}], [{'Key': ''}], [{'Key': 'k' * 129}],
                 [{'Key': 'k', 'Value': 'v' * 257}], [{'Key': f'k{i}', 'Value': ''} for i in range(51)]):
        expect_error(lambda: call(AR, op, **params, Tags=tags), *BAD_INPUT)
    many = [{'Key': f'k{i}', 'Value': str(i)} for i in range(49)] + [{'Key': '\u00fcml\u00e4ut \U0001f6a2', 'Value': '\u6f22\u5b57 ' * 64}]
    arn = call(AR, op, **params, Tags=many)[word][word + 'Arn']
    try:
        get = lambda: {t['Key']: t['Value'] for t in call(AR, 'ListTagsForResource', ResourceArn=arn)['Tags']}
        assert get() == {t['Key']: t['Value'] for t in many}
        expect_error(lambda: call(AR, 'TagResource', ResourceArn=arn, Tags=[{'Key': 'one-more', 'Value': ''}]), *BAD_INPUT)
        call(AR, 'TagResource', ResourceArn=arn, Tags=[{'Key': 'k0', 'Value': 'other'}])
        assert get()['k0'] == 'other'
        call(AR, 'UntagResource', ResourceArn=arn, TagKeys=[t['Key'] for t in many] + ['K0', 'never'])
        assert get() == {}
        call(AR, 'TagResource', ResourceArn=arn, Tags=[])
        call(AR, 'UntagResource', ResourceArn=arn, TagKeys=[])
        expect_error(lambda: call(AR, 'TagResource', ResourceArn=arn, Tags=[{'Key': 'd', 'Value': '1'}, {'Key': 'd', 'Value': '2'}]), *BAD_INPUT)
        call(AR, 'TagResource', ResourceArn=arn, Tags=[{'Key': 'Case', 'Value': '1'}, {'Key': 'case', 'Value': '2'}])
        assert get() == {'Case': '1', 'case': '2'}
    finally: call(AR, 'Delete' + op[6:], **{word + 'Arn': arn})
    expect_error(lambda: call(AR, 'ListTagsForResource', ResourceArn=arn), *NOT_THERE)
    expect_error(lambda: call(AR, 'TagResource', ResourceArn=arn, Tags=[{'Key': 'a', 'Value': ''}]), *NOT_THERE)
    expect_error(lambda: call(AR, 'Delete' + op[6:], **{word + 'Arn': arn}), *NOT_THERE)


# ---------------------------------------------------------------- shared configurations
def test_revisions_latest_and_what_is_deleted():
    name = 'wire-' + rnd()
    one, two, three = (asc(name=name, MaxConcurrency=n) for n in (1, 2, 3))
    base = one['AutoScalingConfigurationArn'].rsplit('/', 2)[0]
    describe = lambda arn: call(AR, 'DescribeAutoScalingConfiguration', AutoScalingConfigurationArn=arn)['AutoScalingConfiguration']
    assert [describe(x['AutoScalingConfigurationArn'])['Latest'] for x in (one, two, three)] == [False, False, True]
    gone = call(AR, 'DeleteAutoScalingConfiguration', AutoScalingConfigurationArn=base + '/2')['AutoScalingConfiguration']
    assert (gone['AutoScalingConfigurationRevision'], gone['Status'], gone['Latest']) == (2, 'INACTIVE', False) and gone['DeletedAt'] >= gone['CreatedAt']
    kept = describe(two['AutoScalingConfigurationArn'])
    assert kept['Status'] == 'INACTIVE' and kept['DeletedAt']
    expect_error(lambda: describe(base + '/2'), *NOT_THERE)
    expect_error(lambda: describe(base + '/99'), *NOT_THERE)
    expect_error(lambda: call(AR, 'UpdateDefaultAutoScalingConfiguration', AutoScalingConfigurationArn=two['AutoScalingConfigurationArn']), *NOT_THERE)
    assert describe(base)['AutoScalingConfigurationRevision'] == 3
    call(AR, 'DeleteAutoScalingConfiguration', AutoScalingConfigurationArn=base)
    four = asc(name=name)
    assert four['AutoScalingConfigurationRevision'] == 4, 'a number is not given twice while it can be described'
    gone = call(AR, 'DeleteAutoScalingConfiguration', AutoScalingConfigurationArn=base, DeleteAllRevisions=True)['AutoScalingConfiguration']
    assert (gone['AutoScalingConfigurationName'], gone['Status']) == (name, 'INACTIVE')
    expect_error(lambda: describe(base), *NOT_THERE)
    assert call(AR, 'ListAutoScalingConfigurations', AutoScalingConfigurationName=name, LatestOnly=False)['AutoScalingConfigurationSummaryList'] == []


def test_the_default_configuration_has_its_id_and_is_not_deleted():
    first = call(AR, 'DescribeAutoScalingConfiguration', AutoScalingConfigurationArn=f'arn:aws:apprunner:{c.REGION}:{ACCOUNT}:autoscalingconfiguration/DefaultConfiguration')['AutoScalingConfiguration']
    assert first['AutoScalingConfigurationArn'].endswith('/DefaultConfiguration/1/00000000000000000000000000000001')
    for arn in (first['AutoScalingConfigurationArn'], first['AutoScalingConfigurationArn'].rsplit('/', 1)[0]):
        expect_error(lambda: call(AR, 'DeleteAutoScalingConfiguration', AutoScalingConfigurationArn=arn), 'InvalidRequestException')
    again = call(AR, 'UpdateDefaultAutoScalingConfiguration', AutoScalingConfigurationArn=first['AutoScalingConfigurationArn'])['AutoScalingConfiguration']
    assert again['IsDefault'] is True


def test_bounds_of_scaling_are_taken_at_their_edges():
    edge = asc(MaxConcurrency=200, MinSize=25, MaxSize=25)
    assert (edge['MaxConcurrency'], edge['MinSize'], edge['MaxSize'], edge['HasAssociatedService'], edge['IsDefault']) == (200, 25, 25, False, False)
    call(AR, 'DeleteAutoScalingConfiguration', AutoScalingConfigurationArn=edge['AutoScalingConfigurationArn'])
    for given in ({'MinSize': 2, 'MaxSize': 1}, {'MinSize': 26, 'MaxSize': 26}, {'MinSize': 0}, {'MaxSize': 0}, {'MaxConcurrency': 0}, {'MaxConcurrency': 201}):
        expect_error(lambda: asc(**given), *BAD_INPUT)


# ---------------------------------------------------------------- services
def refused(*codes, **params):
    return expect_error(lambda: call(AR, 'CreateService', **{'ServiceName': 'wire-' + rnd(), 'SourceConfiguration': code(), **params}), *(codes or BAD_INPUT))


def test_every_pair_of_cpu_and_memory_is_taken_or_refused_as_documented():
    units = {'256': '0.25 vCPU', '512': '0.5 vCPU', '1024': '1 vCPU', '2048': '2 vCPU', '4096': '4 vCPU'}
    pairs = {'256': {512, 1024}, '512': {1024}, '1024': {2048, 3072, 4096}, '2048': {4096, 6144}, '4096': {8192, 10240, 12288}}
    sizes = {512: '0.5 GB', 1024: '1 GB', 2048: '2 GB', 3072: '3 GB', 4096: '4 GB', 6144: '6 GB', 8192: '8 GB', 10240: '10 GB', 12288: '12 GB'}
    for cpu in units:
        for memory in sizes:
            if memory in pairs[cpu]: continue
            for given in ({'Cpu': cpu, 'Memory': str(memory)}, {'Cpu': units[cpu], 'Memory': sizes[memory]}): refused(InstanceConfiguration=given)
    for given in ({'Cpu': '1.0 vCPU'}, {'Cpu': '1vCPU'}, {'Cpu': '1 VCPU'}, {'Cpu': '3 vCPU'}, {'Memory': '2GB'}, {'Memory': '2 gb'}, {'Memory': '5 GB'}, {'Cpu': '128'},
                  {'Cpu': '4 vCPU'}, {'Memory': '12 GB'}):
        refused(InstanceConfiguration=given)


def test_configurations_that_cannot_be_are_refused():
    base = code()
    broken = lambda change: (lambda s: (change(s), s)[1])(json.loads(json.dumps(base)))
    for source in (
        {}, {'CodeRepository': base['CodeRepository'], 'ImageRepository': c.image_source()['ImageRepository']},
        broken(lambda s: s['CodeRepository'].pop('CodeConfiguration')), broken(lambda s: s['CodeRepository'].update(RepositoryUrl='')),
        broken(lambda s: s['CodeRepository'].update(RepositoryUrl='not a url')), broken(lambda s: s['CodeRepository'].update(RepositoryUrl='file:///etc')),
        broken(lambda s: s['CodeRepository'].update(RepositoryUrl='--upload-pack=x')), broken(lambda s: s['CodeRepository'].update(RepositoryUrl='ext::sh -c x')),
        broken(lambda s: s['CodeRepository'].update(SourceCodeVersion={'Type': 'TAG', 'Value': 'x'})), broken(lambda s: s['CodeRepository'].update(SourceCodeVersion={'Type': 'BRANCH', 'Value': ''})),
        broken(lambda s: s['CodeRepository'].update(SourceCodeVersion={'Type': 'BRANCH', 'Value': '..'})), broken(lambda s: s['CodeRepository'].update(SourceDirectory='../x')),
        broken(lambda s: s['CodeRepository'].update(SourceDirectory='')), code(Runtime='COBOL'), code(Port='0'), code(Port='65536'), code(Port='http'), code(Port='-1'), code(StartCommand=''),
        code(BuildCommand='a\nb'), code(StartCommand='a\rb'), code(RuntimeEnvironmentVariables={'AWSAPPRUNNER_X': '1'}), code(RuntimeEnvironmentVariables={'': '1'}),
        code(RuntimeEnvironmentVariables={'A=B': '1'}), code(RuntimeEnvironmentVariables={'A': 'x\x00'}),
    ): refused(SourceConfiguration=source)
    for given in ({'AutoScalingConfigurationArn': fake_arn('service', ACCOUNT)}, {'AutoScalingConfigurationArn': fake_arn('asc', ACCOUNT)},
                  {'ObservabilityConfiguration': {'ObservabilityEnabled': True, 'ObservabilityConfigurationArn': fake_arn('obs', ACCOUNT)}}, {'ObservabilityConfiguration': {}},
                  {'NetworkConfiguration': {'EgressConfiguration': {'EgressType': 'VPC'}}}, {'NetworkConfiguration': {'EgressConfiguration': {'EgressType': 'VPC', 'VpcConnectorArn': fake_arn('vpcc', ACCOUNT)}}},
                  {'NetworkConfiguration': {'IpAddressType': 'IPV6'}}, {'EncryptionConfiguration': {}}, {'EncryptionConfiguration': {'KmsKey': 'key'}},
                  {'InstanceConfiguration': {'InstanceRoleArn': 'arn:aws:iam::1:role/x'}}, {'HealthCheckConfiguration': {'Protocol': 'UDP'}}, {'HealthCheckConfiguration': {'Path': ''}},
                  {'ServiceName': 'abc'}, {'ServiceName': 'a' * 41}, {'ServiceName': '-abcd'}, {'ServiceName': 'ab cd'}, {'ServiceName': 'abc\u00e9'}, {'ServiceName': '_abcd'}):
        refused(**given)


@pytest.fixture(scope='module')
def service():
    """a running service of the API with everything that can be said of one"""
    key = f'arn:aws:kms:us-east-1:{ACCOUNT}:key/{uuid.uuid4()}'
    connector = call(AR, 'CreateVpcConnector', VpcConnectorName='wire-' + rnd(), Subnets=['subnet-1'], SecurityGroups=['sg-1'])['VpcConnector']
    obs = call(AR, 'CreateObservabilityConfiguration', ObservabilityConfigurationName='wire-' + rnd(), TraceConfiguration={'Vendor': 'AWSXRAY'})['ObservabilityConfiguration']
    name = 'wire-' + rnd()
    made = call(AR, 'CreateService', ServiceName=name, SourceConfiguration=code(RuntimeEnvironmentVariables={'W\u00f6rt': '\u6f22', 'a.b': ''}), Tags=[{'Key': 't', 'Value': 'v'}],
                InstanceConfiguration={'Cpu': '0.25 vCPU', 'Memory': '0.5 GB', 'InstanceRoleArn': f'arn:aws:iam::{ACCOUNT}:role/wire'},
                EncryptionConfiguration={'KmsKey': key}, HealthCheckConfiguration={'Protocol': 'HTTP', 'Path': '/', 'Interval': 1, 'Timeout': 1},
                NetworkConfiguration={'EgressConfiguration': {'EgressType': 'VPC', 'VpcConnectorArn': connector['VpcConnectorArn']}, 'IpAddressType': 'DUAL_STACK'},
                ObservabilityConfiguration={'ObservabilityEnabled': True, 'ObservabilityConfigurationArn': obs['ObservabilityConfigurationArn']})
    arn = made['Service']['ServiceArn']
    running = wait_service(AR, arn, 'RUNNING')
    yield {'arn': arn, 'name': name, 'key': key, 'connector': connector['VpcConnectorArn'], 'obs': obs['ObservabilityConfigurationArn'], 'made': made, 'running': running}
    try: call(AR, 'DeleteService', ServiceArn=arn)
    except c.ClientError: pass
    wait_service(AR, arn, 'DELETED')
    call(AR, 'DeleteVpcConnector', VpcConnectorArn=connector['VpcConnectorArn'])
    call(AR, 'DeleteObservabilityConfiguration', ObservabilityConfigurationArn=obs['ObservabilityConfigurationArn'])


def test_everything_that_was_said_of_a_service_is_shown(service):
    s, made = service['running'], service['made']
    assert c.UUID_RE.fullmatch(made['OperationId']) and made['Service']['Status'] == 'OPERATION_IN_PROGRESS'
    assert (s['InstanceConfiguration']['Cpu'], s['InstanceConfiguration']['Memory']) == ('256', '512')
    assert s['InstanceConfiguration']['InstanceRoleArn'].endswith(':role/wire') and s['EncryptionConfiguration'] == {'KmsKey': service['key']}
    values = s['SourceConfiguration']['CodeRepository']['CodeConfiguration']['CodeConfigurationValues']
    assert values['RuntimeEnvironmentVariables'] == {'W\u00f6rt': '\u6f22', 'a.b': ''} and values['Runtime'] == 'PYTHON_3' and values['BuildCommand'] == 'true'
    assert s['SourceConfiguration']['AutoDeploymentsEnabled'] is False
    assert s['NetworkConfiguration'] == {'EgressConfiguration': {'EgressType': 'VPC', 'VpcConnectorArn': service['connector']}, 'IngressConfiguration': {'IsPubliclyAccessible': True}, 'IpAddressType': 'DUAL_STACK'}
    assert s['ObservabilityConfiguration'] == {'ObservabilityEnabled': True, 'ObservabilityConfigurationArn': service['obs']}
    assert s['HealthCheckConfiguration'] == {'Protocol': 'HTTP', 'Path': '/', 'Interval': 1, 'Timeout': 1, 'HealthyThreshold': 1, 'UnhealthyThreshold': 5}
    assert s['CreatedAt'] <= s['UpdatedAt'] and 'DeletedAt' not in s
    for partial in (service['arn'].rsplit('/', 1)[0], service['arn']):
        assert call(AR, 'DescribeService', ServiceArn=partial)['Service']['ServiceArn'] == service['arn']
        assert call(AR, 'ListOperations', ServiceArn=partial)['OperationSummaryList'][0]['TargetArn'] == service['arn']
    first = call(AR, 'ListOperations', ServiceArn=service['arn'])['OperationSummaryList'][-1]
    assert (first['Type'], first['Status'], first['Id']) == ('CREATE_SERVICE', 'SUCCEEDED', made['OperationId'])
    assert first['StartedAt'] <= first['EndedAt'] and first['StartedAt'] <= first['UpdatedAt']


def test_what_a_service_uses_is_not_deleted(service):
    expect_error(lambda: call(AR, 'DeleteVpcConnector', VpcConnectorArn=service['connector']), 'InvalidRequestException')
    expect_error(lambda: call(AR, 'DeleteObservabilityConfiguration', ObservabilityConfigurationArn=service['obs']), 'InvalidRequestException')


def test_a_public_service_gets_no_private_way_in(service):
    params = {'ServiceArn': service['arn'], 'VpcIngressConnectionName': 'wire-' + rnd(), 'IngressVpcConfiguration': {'VpcId': 'vpc-1', 'VpcEndpointId': 'vpce-1'}}
    expect_error(lambda: call(AR, 'CreateVpcIngressConnection', **params), 'InvalidRequestException', 'InvalidStateException')


def test_an_update_without_anything_is_an_operation_that_changes_nothing(service):
    before = call(AR, 'DescribeService', ServiceArn=service['arn'])['Service']
    made = call(AR, 'UpdateService', ServiceArn=service['arn'])
    assert made['Service']['Status'] == 'OPERATION_IN_PROGRESS' and c.UUID_RE.fullmatch(made['OperationId'])
    after = wait_service(AR, service['arn'], 'RUNNING')
    newest = call(AR, 'ListOperations', ServiceArn=service['arn'], MaxResults=1)['OperationSummaryList'][0]
    assert (newest['Id'], newest['Type'], newest['Status']) == (made['OperationId'], 'UPDATE_SERVICE', 'SUCCEEDED')
    same = lambda s: {k: v for k, v in s.items() if k != 'UpdatedAt'}
    assert same(before) == same(after) and before['UpdatedAt'] <= after['UpdatedAt']


def test_updates_that_cannot_be_are_refused_and_change_nothing(service):
    before = call(AR, 'DescribeService', ServiceArn=service['arn'])['Service']
    for given in ({'SourceConfiguration': c.image_source()}, {'SourceConfiguration': code(Port='0')}, {'InstanceConfiguration': {'Cpu': '4 vCPU'}}, {'InstanceConfiguration': {'Memory': '12 GB'}},
                  {'HealthCheckConfiguration': {'Interval': 21}}, {'AutoScalingConfigurationArn': fake_arn('asc', ACCOUNT)},
                  {'SourceConfiguration': {**code(), **c.image_source()}}):
        expect_error(lambda: call(AR, 'UpdateService', ServiceArn=service['arn'], **given), *BAD_INPUT, *NOT_THERE)
    assert call(AR, 'DescribeService', ServiceArn=service['arn'])['Service'] == before


def test_a_name_is_free_again_once_its_service_is_deleted_and_the_old_one_stays_describable(service):
    arn, name = service['arn'], service['name']
    call(AR, 'PauseService', ServiceArn=arn)
    wait_service(AR, arn, 'PAUSED')
    for op in ('PauseService', 'UpdateService'): expect_error(lambda: call(AR, op, ServiceArn=arn), 'InvalidStateException')
    expect_error(lambda: call(AR, 'StartDeployment', ServiceArn=arn), 'InvalidRequestException')
    expect_error(lambda: call(AR, 'AssociateCustomDomain', ServiceArn=arn, DomainName='wire.example.com'), 'InvalidStateException')
    call(AR, 'TagResource', ResourceArn=arn, Tags=[{'Key': 'paused', 'Value': 'yes'}])
    assert {'Key': 'paused', 'Value': 'yes'} in call(AR, 'ListTagsForResource', ResourceArn=arn)['Tags']
    assert arn in {s['ServiceArn'] for s in call(AR, 'ListServices')['ServiceSummaryList'] if s['Status'] == 'PAUSED'}
    deleted = call(AR, 'DeleteService', ServiceArn=arn)
    assert deleted['Service']['Status'] == 'OPERATION_IN_PROGRESS'
    gone = wait_service(AR, arn, 'DELETED')
    assert gone['DeletedAt'] >= gone['CreatedAt']
    types = [(o['Type'], o['Status']) for o in call(AR, 'ListOperations', ServiceArn=arn)['OperationSummaryList']]
    assert types[:2] == [('DELETE_SERVICE', 'SUCCEEDED'), ('PAUSE_SERVICE', 'SUCCEEDED')] and types[-1] == ('CREATE_SERVICE', 'SUCCEEDED')
    for op in ('DeleteService', 'PauseService', 'ResumeService', 'UpdateService', 'StartDeployment', 'DisassociateCustomDomain'):
        params = {**here(minimal(op)), 'ServiceArn': arn}
        expect_error(lambda: call(AR, op, **params), *NOT_THERE, 'InvalidStateException')
    expect_error(lambda: call(AR, 'TagResource', ResourceArn=arn, Tags=[{'Key': 'a', 'Value': ''}]), *NOT_THERE, 'InvalidStateException')
    expect_error(lambda: call(AR, 'DescribeService', ServiceArn=arn.rsplit('/', 1)[0]), *NOT_THERE)
    again = call(AR, 'CreateService', ServiceName=name, SourceConfiguration=code(BuildCommand='false'))['Service']
    try:
        assert again['ServiceArn'] != arn and again['ServiceUrl'] != gone['ServiceUrl']
        expect_error(lambda: call(AR, 'CreateService', ServiceName=name, SourceConfiguration=code()), *BAD_INPUT)
        expect_error(lambda: call(AR, 'CreateService', ServiceName=name.upper(), SourceConfiguration=code()), *BAD_INPUT)
        assert call(AR, 'DescribeService', ServiceArn=arn)['Service']['Status'] == 'DELETED'
        failed = wait_service(AR, again['ServiceArn'], 'CREATE_FAILED')
        assert failed['ServiceArn'] in {s['ServiceArn'] for s in call(AR, 'ListServices')['ServiceSummaryList']}
        for op in ('PauseService', 'ResumeService'): expect_error(lambda: call(AR, op, ServiceArn=failed['ServiceArn']), 'InvalidStateException')
        expect_error(lambda: call(AR, 'UpdateService', ServiceArn=failed['ServiceArn'], SourceConfiguration={'CodeRepository': {
            **code()['CodeRepository'], 'CodeConfiguration': {'ConfigurationSource': 'REPOSITORY'}}}), *BAD_INPUT)
    finally:
        call(AR, 'DeleteService', ServiceArn=again['ServiceArn'])
        wait_service(AR, again['ServiceArn'], 'DELETED')


# ---------------------------------------------------------------- keys and signatures
def test_a_region_and_a_service_that_were_not_signed_for_are_named():
    for given in ({'region': 'elsewhere-9'}, {'service': 'sts'}, {'service': 'logs'}, {'service': 'AppRunner'}, {'region': ''}):
        status, _, body = raw('AppRunner.ListServices', {}, **given)
        assert status in (400, 403) and err_code(body) in ('InvalidSignatureException', 'SignatureDoesNotMatch', 'IncompleteSignatureException'), (given, body)


def test_keys_that_are_none_are_refused():
    for key, secret in (('', 'x'), ('A' * 200, 'x'), ('AKIA\u00e9', 'x'), ('../../etc', 'x'), ("AKIA'--", 'x')):
        try: status, _, body = raw('AppRunner.ListServices', {}, creds=Credentials(key, secret))
        except (UnicodeEncodeError, UnicodeError): continue         # the client cannot send it
        assert status in (400, 403) and err_code(body) in ('UnrecognizedClientException', 'IncompleteSignatureException', 'InvalidClientTokenId', 'InvalidSignatureException'), (key, body)
    held = boto3.session.Session().get_credentials().get_frozen_credentials()
    status, _, body = raw('AppRunner.ListServices', {}, creds=Credentials(held.access_key, held.secret_key, 'a-token'))
    assert status in (400, 403) and err_code(body) in ('UnrecognizedClientException', 'InvalidClientTokenId', 'ExpiredTokenException'), body
