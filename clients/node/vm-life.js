// The life of one VM: made from a template, watched until it runs, deleted; and what refusals say.
//
//   node vm-life.js --addresses 10.0.0.1:7002,10.0.0.2:7002,10.0.0.3:7002 --template small \
//     --ca ca.crt --certificate ann.crt --key ann.key
//
// Exits with 0 only if all of it went as it has to, with 1 if it did not, with 2 if it was called
// wrongly.
'use strict';

const assert = require('node:assert/strict');
const { parseArgs } = require('node:util');
const { connect, call, mutate, watchVms, Failure } = require('./skyraft');

const USAGE = `usage: node vm-life.js --addresses HOST:PORT[,HOST:PORT...] --template NAME --ca FILE
         (--certificate FILE --key FILE | --token TOKEN) [--timeout SECONDS]`;

const options = read(process.argv.slice(2));

function read(args) {
  const text = { type: 'string' };
  try {
    const { values } = parseArgs({
      args,
      options: {
        addresses: text,
        ca: text,
        certificate: text,
        key: text,
        token: text,
        template: text,
        timeout: { type: 'string', default: '60' },
      },
    });
    const identity = values.token ? [] : ['certificate', 'key'];
    const missing = ['addresses', 'template', 'ca', ...identity].filter((name) => !values[name]);
    if (missing.length) throw new Error(`missing: ${missing.map((name) => `--${name}`).join(', ')}`);
    if (!(Number(values.timeout) > 0)) throw new Error('--timeout takes seconds');
    return values;
  } catch (error) {
    console.error(`vm-life: ${error.message}\n${USAGE}`);
    return process.exit(2);
  }
}

async function main() {
  const cloud = connect({ ...options, addresses: options.addresses.split(',') });
  try {
    await refusals(cloud);
    const template = await templateNamed(cloud, options.template);
    const name = `node-${process.pid}`;
    const vm = await mutate(cloud.vms, 'CreateVm', { name, template_id: template.id });
    console.log(`created ${vm.name} (${vm.id}): ${vm.state}`);
    await until(cloud, vm, (now) => now.lcm_state === 'LCM_STATE_RUNNING');
    await wrongState(cloud, vm);
    const going = await mutate(cloud.vms, 'DeleteVm', { id: vm.id });
    await until(cloud, going, (now) => now.state === 'VM_STATE_DONE');
  } finally {
    cloud.close();
  }
}

async function templateNamed(cloud, name) {
  let page_token = '';
  do {
    const page = await call(cloud.templates, 'ListTemplates', { page_size: 100, page_token });
    const found = page.templates.find((template) => template.name === name);
    if (found) return found;
    page_token = page.next_page_token;
  } while (page_token);
  throw new Error(`no template is called ${name}`);
}

// Prints each state of the VM until `reached` says so.
async function until(cloud, vm, reached) {
  if (reached(vm)) return;
  for await (const now of watchVms(cloud.vms, { id: vm.id, afterRevision: vm.revision })) {
    console.log(now.state === 'VM_STATE_ACTIVE' ? now.lcm_state : now.state);
    if (reached(now)) return;
    assert(!now.lcm_state.endsWith('_FAILURE'), `${now.lcm_state}: ${now.error}`);
  }
}

// What a program can rely on when it is refused.
async function refusals(cloud) {
  const missing = await refusal('not_found', call(cloud.vms, 'GetVm', { id: 2 ** 40 }));
  assert.equal(missing.retryable, false);
  const nameless = await refusal(
    'invalid_argument',
    mutate(cloud.vms, 'CreateVm', { name: 'a\nb', template_id: 0 }),
  );
  assert.equal(nameless.field, 'name');
  console.log(`refused as it has to be: ${missing.message}; ${nameless.message}`);
}

async function wrongState(cloud, vm) {
  await refusal('wrong_state', mutate(cloud.vms, 'RecoverVm', { id: vm.id }));
}

// The Failure, if it is for `reason`; another one (nobody answers, say) is thrown.
async function refusal(reason, promise) {
  const outcome = await promise.then(() => null, (error) => error);
  if (outcome === null) throw new Error(`should have been refused: ${reason}`);
  if (!(outcome instanceof Failure) || outcome.reason !== reason) throw outcome;
  return outcome;
}

const timer = setTimeout(() => {
  console.error(`vm-life: not done after ${options.timeout} s`);
  process.exit(1);
}, Number(options.timeout) * 1000);
timer.unref();

main().then(
  () => console.log('done'),
  (error) => {
    console.error(`vm-life: ${error.reason || error.name}: ${error.message}`);
    process.exitCode = 1;
  },
);
