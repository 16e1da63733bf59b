"""What towpath promises of its API beyond the suite: one owner per service, exactly one winner, updates that fail, private services.

Run by tests/it/conformance.rs, which declares the service `shop` in the manifest and passes the ingress' port in OWN_HTTP_PORT.
"""
import concurrent.futures, os, threading, time, urllib.error, urllib.request, uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

PORT = os.environ['OWN_HTTP_PORT']
REPOSITORY = os.environ['CONF_REPO_URL']


def client():
    config = Config(retries={'total_max_attempts': 1}, read_timeout=60)
    return boto3.client('apprunner', endpoint_url=os.environ['APPRUNNER_ENDPOINT_URL'], config=config)


AR = client()


def source(start='python3 app.py', build='true', **values):
    settings = {'Runtime': 'PYTHON_3', 'BuildCommand': build, 'StartCommand': start, 'Port': '8080', **values}
    return {'CodeRepository': {'RepositoryUrl': REPOSITORY, 'SourceCodeVersion': {'Type': 'BRANCH', 'Value': 'main'},
                               'CodeConfiguration': {'ConfigurationSource': 'API', 'CodeConfigurationValues': settings}},
            'AutoDeploymentsEnabled': False}


def refused(*codes):
    class Refused:
        def __enter__(self): return self
        def __exit__(self, _, error, __):
            assert isinstance(error, ClientError), f'accepted, expected {codes}: {error!r}'
            self.message = error.response['Error']['Message']
            assert error.response['Error']['Code'] in codes, error
            return True
    return Refused()


def until(arn, *wanted, seconds=120):
    end = time.time() + seconds
    while True:
        service = AR.describe_service(ServiceArn=arn)['Service']
        if service['Status'] != 'OPERATION_IN_PROGRESS':
            assert service['Status'] in wanted, (service['Status'], newest(arn))
            return service
        assert time.time() < end, 'still in progress'
        time.sleep(0.3)


def newest(arn): return AR.list_operations(ServiceArn=arn, MaxResults=1)['OperationSummaryList'][0]


def answer(service, path='/'):
    request = urllib.request.Request(f'http://127.0.0.1:{PORT}{path}', headers={'Host': service['ServiceUrl']})
    try:
        with urllib.request.urlopen(request, timeout=10) as got: return got.status, got.read().decode().strip()
    except urllib.error.HTTPError as error: return error.code, ''


@pytest.fixture(scope='module')
def service():
    name = 'own-' + uuid.uuid4().hex[:8]
    arn = AR.create_service(ServiceName=name, SourceConfiguration=source(RuntimeEnvironmentVariables={'ONE': '1'}))['Service']['ServiceArn']
    yield until(arn, 'RUNNING')
    until(arn, 'RUNNING', 'PAUSED', 'CREATE_FAILED')
    AR.delete_service(ServiceArn=arn)
    until(arn, 'DELETED')


@pytest.fixture(scope='module')
def declared():
    services = AR.list_services()['ServiceSummaryList']
    arn = next(s['ServiceArn'] for s in services if s['ServiceName'] == 'shop')
    return until(arn, 'RUNNING')


def test_a_service_made_by_the_api_serves_with_its_variables(service):
    status, environment = answer(service, '/env')
    assert status == 200 and 'ONE=1' in environment.splitlines() and 'PORT=' in environment


def test_what_the_manifest_declares_is_shown_acted_on_and_not_changed(declared):
    arn = declared['ServiceArn']
    for change in (lambda: AR.update_service(ServiceArn=arn, InstanceConfiguration={'Cpu': '1 vCPU'}),
                   lambda: AR.delete_service(ServiceArn=arn),
                   lambda: AR.tag_resource(ResourceArn=arn, Tags=[{'Key': 'a', 'Value': 'b'}]),
                   lambda: AR.untag_resource(ResourceArn=arn, TagKeys=['a']),
                   lambda: AR.associate_custom_domain(ServiceArn=arn, DomainName='own.example.com')):
        with refused('InvalidStateException') as refusal: change()
        assert 'towpath.yaml:2' in refusal.message, refusal.message
    tags = {t['Key']: t['Value'] for t in AR.list_tags_for_resource(ResourceArn=arn)['Tags']}
    assert 'towpath.yaml:2' in tags['towpath:declared-at']
    with refused('InvalidRequestException') as refusal: AR.create_service(ServiceName='shop', SourceConfiguration=source())
    assert 'declared' in refusal.message
    operation = AR.start_deployment(ServiceArn=arn)['OperationId']
    until(arn, 'RUNNING')
    assert (newest(arn)['Id'], newest(arn)['Status']) == (operation, 'SUCCEEDED')


def test_of_creations_under_one_name_at_once_exactly_one_is_accepted():
    name, start = 'own-' + uuid.uuid4().hex[:8], threading.Barrier(8)

    def create(_):
        start.wait()
        try: return AR.create_service(ServiceName=name, SourceConfiguration=source())['Service']['ServiceArn']
        except ClientError as error:
            assert error.response['Error']['Code'] == 'InvalidRequestException', error
    with concurrent.futures.ThreadPoolExecutor(8) as pool: made = [arn for arn in pool.map(create, range(8)) if arn]
    assert len(made) == 1, made
    until(made[0], 'RUNNING')
    AR.delete_service(ServiceArn=made[0])
    until(made[0], 'DELETED')
    assert made[0] not in {s['ServiceArn'] for s in AR.list_services()['ServiceSummaryList']}


def test_of_changes_of_one_service_at_once_exactly_one_is_accepted(service):
    arn, start = service['ServiceArn'], threading.Barrier(8)

    def change(at):
        try:
            start.wait()
            if at % 2: return AR.pause_service(ServiceArn=arn)['OperationId']
            # Long enough that it does not end before the last of the others was heard.
            slow = source(build=f'sleep 3; echo {at}', RuntimeEnvironmentVariables={'ONE': '1'})
            return AR.update_service(ServiceArn=arn, SourceConfiguration=slow)['OperationId']
        except ClientError as error:
            assert error.response['Error']['Code'] == 'InvalidStateException', error
    with concurrent.futures.ThreadPoolExecutor(8) as pool: accepted = [o for o in pool.map(change, range(8)) if o]
    assert len(accepted) == 1, accepted
    if until(arn, 'RUNNING', 'PAUSED')['Status'] == 'PAUSED':
        AR.resume_service(ServiceArn=arn)
        until(arn, 'RUNNING')


def test_an_update_that_fails_puts_the_old_configuration_back_and_the_service_serves_on(service):
    arn = service['ServiceArn']
    before = AR.describe_service(ServiceArn=arn)['Service']['SourceConfiguration']
    updated = AR.update_service(ServiceArn=arn, SourceConfiguration=source(start='false'))
    shown = updated['Service']['SourceConfiguration']['CodeRepository']['CodeConfiguration']['CodeConfigurationValues']
    assert shown['StartCommand'] == 'false'
    after = until(arn, 'RUNNING')
    assert (newest(arn)['Id'], newest(arn)['Status']) == (updated['OperationId'], 'FAILED')
    assert after['SourceConfiguration'] == before and answer(service)[0] == 200


def test_an_update_of_the_health_check_starts_nothing_anew(service):
    arn, pid = service['ServiceArn'], answer(service, '/pid')
    AR.update_service(ServiceArn=arn, HealthCheckConfiguration={'Interval': 7})
    after = until(arn, 'RUNNING')
    health = after['HealthCheckConfiguration']
    assert (health['Interval'], health['Timeout'], newest(arn)['Type']) == (7, 2, 'UPDATE_SERVICE')
    assert answer(service, '/pid') == pid


def test_a_private_service_answers_nobody_until_it_is_public_again(service):
    arn = service['ServiceArn']
    for public, status in ((False, 404), (True, 200)):
        network = {'IngressConfiguration': {'IsPubliclyAccessible': public}}
        AR.update_service(ServiceArn=arn, NetworkConfiguration=network)
        after = until(arn, 'RUNNING')
        assert after['NetworkConfiguration']['IngressConfiguration']['IsPubliclyAccessible'] is public
        assert answer(service)[0] == status


def test_a_service_whose_creation_failed_is_rebuilt_by_an_update():
    name = 'own-' + uuid.uuid4().hex[:8]
    arn = AR.create_service(ServiceName=name, SourceConfiguration=source(build='false'))['Service']['ServiceArn']
    failed = until(arn, 'CREATE_FAILED')
    values = failed['SourceConfiguration']['CodeRepository']['CodeConfiguration']['CodeConfigurationValues']
    assert values['BuildCommand'] == 'false'
    AR.update_service(ServiceArn=arn, SourceConfiguration=source())
    assert answer(until(arn, 'RUNNING'))[0] == 200
    AR.delete_service(ServiceArn=arn)
    deleted = until(arn, 'DELETED')
    assert deleted['DeletedAt'] and deleted['SourceConfiguration']
    with refused('ResourceNotFoundException'): AR.delete_service(ServiceArn=arn)


def test_a_repository_on_the_servers_disk_is_refused():
    local = source()
    local['CodeRepository']['RepositoryUrl'] = '/etc'
    with refused('InvalidRequestException'): AR.create_service(ServiceName='own-local', SourceConfiguration=local)
