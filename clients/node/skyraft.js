// Skyraft from Node.js, straight from the .proto files: connection, errors, watches that resume.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { randomUUID } = require('node:crypto');
const { setTimeout: pause } = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');

// The .proto files import each other from the root of the repository.
const ROOT = path.resolve(__dirname, '..', '..');
const NOUNS = ['cluster', 'event', 'host', 'image', 'template', 'token', 'vm'];
const CALL_TIMEOUT_MS = 20_000;

// Whichever replica answers: a dead one is left out, a call that it took with it is made again.
// Mutations carry a request_id, so making one again does it once.
const SERVICE_CONFIG = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: '0.02s',
        maxBackoff: '0.5s',
        backoffMultiplier: 3,
        retryableStatusCodes: ['UNAVAILABLE'],
      },
    },
  ],
};

const CHANNEL_OPTIONS = {
  // Every replica's certificate has this name, so that replicas may change their addresses.
  'grpc.ssl_target_name_override': 'replica.skyraft',
  'grpc.service_config': JSON.stringify(SERVICE_CONFIG),
  'grpc.enable_retries': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.keepalive_time_ms': 5000,
  'grpc.keepalive_timeout_ms': 2000,
};

const definition = protoLoader.loadSync(
  NOUNS.map((noun) => `protos/v1/${noun}.proto`),
  {
    includeDirs: [ROOT],
    keepCase: true, // fields as in the .proto files: host_id
    longs: Number, // ids and revisions stay below 2^53
    enums: String, // "VM_STATE_ACTIVE"
    defaults: true,
    oneofs: true,
  },
);
const api = grpc.loadPackageDefinition(definition).skyraft.v1;

// One channel over all `addresses` ("10.0.0.1:7002"): API ports with {certificate, key}, token
// ports with {token}. `ca`, `certificate` and `key` name PEM files.
function connect({ addresses, ca, certificate, key, token }) {
  const tls = grpc.credentials.createSsl(
    fs.readFileSync(ca),
    key ? fs.readFileSync(key) : null,
    certificate ? fs.readFileSync(certificate) : null,
  );
  const credentials = token ? grpc.credentials.combineChannelCredentials(tls, bearer(token)) : tls;
  const target = `ipv4:${addresses.join(',')}`;
  const channel = new grpc.Channel(target, credentials, CHANNEL_OPTIONS);
  const service = (Client) => new Client(target, credentials, { channelOverride: channel });
  return {
    clusters: service(api.ClusterService),
    events: service(api.EventService),
    hosts: service(api.HostService),
    images: service(api.ImageService),
    templates: service(api.TemplateService),
    tokens: service(api.TokenService),
    vms: service(api.VmService),
    close: () => channel.close(),
  };
}

function bearer(token) {
  return grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    done(null, metadata);
  });
}

// One unary call as a promise. Rejects with a Failure.
function call(service, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + CALL_TIMEOUT_MS;
    service[method](request, { deadline }, (error, answer) => {
      if (error) reject(new Failure(error));
      else resolve(answer);
    });
  });
}

// The same for a mutation: a request id is chosen once, and while the outcome is unknown the same
// request is sent again.
async function mutate(service, method, request, { tries = 5 } = {}) {
  const complete = { request_id: randomUUID(), ...request };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call(service, method, complete);
    } catch (failure) {
      if (!failure.retryable || attempt === tries) throw failure;
      await pause(100 * attempt);
    }
  }
}

// Changes of one VM, or of all without `id`, for ever: `for await (const vm of watchVms(...))`.
// When the replica that answers is lost, another one goes on after the last revision seen.
async function* watchVms(service, { id, afterRevision = 0 } = {}) {
  let revision = afterRevision;
  for (;;) {
    const request = { after_revision: revision, ...(id === undefined ? {} : { id }) };
    const stream = service.WatchVms(request);
    try {
      for await (const change of stream) {
        revision = Math.max(revision, change.revision);
        yield change.vm;
      }
    } catch (error) {
      if (error.code !== grpc.status.UNAVAILABLE) throw new Failure(error);
    } finally {
      stream.on('error', () => {}); // of the cancel
      stream.cancel();
    }
    await pause(100);
  }
}

// google.rpc.Status and the details that Skyraft puts into it.
const rpc = protobuf.Root.fromJSON({
  nested: {
    Any: { fields: { type_url: { type: 'string', id: 1 }, value: { type: 'bytes', id: 2 } } },
    Status: {
      fields: {
        code: { type: 'int32', id: 1 },
        message: { type: 'string', id: 2 },
        details: { rule: 'repeated', type: 'Any', id: 3 },
      },
    },
    ErrorInfo: { fields: { reason: { type: 'string', id: 1 }, domain: { type: 'string', id: 2 } } },
    BadRequest: {
      fields: { field_violations: { rule: 'repeated', type: 'FieldViolation', id: 1 } },
      nested: {
        FieldViolation: {
          fields: { field: { type: 'string', id: 1 }, description: { type: 'string', id: 2 } },
        },
      },
    },
  },
});

// Why a call failed. `reason` is stable and for programs (not_found, wrong_state, ...), `field` is
// the request's field at fault, `retryable` says that the same request_id may be sent again.
class Failure extends Error {
  constructor(error) {
    super(error.details || error.message);
    this.name = 'Failure';
    this.code = error.code;
    this.reason = (grpc.status[error.code] || 'unknown').toLowerCase();
    this.field = '';
    this.retryable = [grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED].includes(error.code);
    const [packed] = error.metadata ? error.metadata.get('grpc-status-details-bin') : [];
    if (!packed) return;
    for (const detail of rpc.lookupType('Status').decode(packed).details) {
      if (detail.type_url.endsWith('/google.rpc.ErrorInfo')) {
        this.reason = rpc.lookupType('ErrorInfo').decode(detail.value).reason;
      } else if (detail.type_url.endsWith('/google.rpc.BadRequest')) {
        const [violation] = rpc.lookupType('BadRequest').decode(detail.value).field_violations;
        if (violation) this.field = violation.field;
      }
    }
  }
}

module.exports = { connect, call, mutate, watchVms, Failure };
