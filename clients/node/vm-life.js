// The life of one VM: made from a template, watched until it runs, deleted; and what refusals say.
//
//   node vm-life.js --addresses 10.0.0.1:7002,10.0.0.2:7002,10.0.0.3:7002 --template small \
//     --ca ca.crt --certificate ann.crt --key ann.key
//
// Exits with 0 only if all of it went as it has to.
'use strict';

const assert = require('node:assert/strict');
const { parseArgs } = require('node:util');
const { connect, call, mutate, watchVms, Failure } = require('./skyraft');

const { values: options } = parseArgs({
  options: {
    addresses: { type: 'string' },
    ca: { type: 'string' },
    certificate: { type: 'string' },
    key: { type: 'string' },
    token: { type: 'string' },
    template: { type: 'string' },
    timeout: { type: 'string', default: '60' }, // seconds
  },
});

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
  const missing = await refusal(call(cloud.vms, 'GetVm', { id: 2 ** 40 }));
  assert.equal(missing.reason, 'not_found');
  assert.equal(missing.retryable, false);
  const nameless = await refusal(
    mutate(cloud.vms, 'CreateVm', { name: 'a\nb', template_id: 0 }),
  );
  assert.equal(nameless.reason, 'invalid_argument');
  assert.equal(nameless.field, 'name');
  console.log(`refused as it has to be: ${missing.message}; ${nameless.message}`);
}

async function wrongState(cloud, vm) {
  const wrong = await refusal(mutate(cloud.vms, 'RecoverVm', { id: vm.id }));
  assert.equal(wrong.reason, 'wrong_state');
}

async function refusal(promise) {
  const outcome = await promise.then(() => null, (error) => error);
  assert(outcome instanceof Failure, `should have been refused: ${outcome}`);
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
