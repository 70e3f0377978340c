/**
 * Jest runs each test file in a realm of its own, in which every module is loaded anew. Here packages and the
 * SQL stand-in are loaded by Node.js itself, once a worker (nativeTransform.js): `npm test` takes less than two thirds of
 * the time. What they make is then of another realm than the tests, as is what Node.js makes, so what `instanceof` is
 * asked of is the same in both.
 */
// The stand-in comes as TypeScript.
require('tsx/cjs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const vm = require('node:vm');
const { TestEnvironment } = require('jest-environment-node');

// Some 150 processes that tests start load the same packages: what V8 has compiled is kept for the others and for the next
// time, where Node.js keeps it by itself (module.enableCompileCache). A worker keeps nothing: to write it all would take
// seconds at its end, for which jest does not wait.
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'node-compile-cache');

const isInstance = Function.prototype[Symbol.hasInstance];

module.exports = class extends TestEnvironment {
  constructor(...given) {
    // Jest puts a Proxy around the realm's global object, through which each use of a global goes. Its own is faster: the
    // test files take 6 % less.
    const { createContext } = vm;
    vm.createContext = () => createContext(vm.constants.DONT_CONTEXTIFY);
    try {
      super(...given);
    } finally {
      vm.createContext = createContext;
    }
  }

  async setup() {
    await super.setup();
    this.global.requireNatively = require;
    this.global.Date = Date;
    // The realm itself throws its own errors, so they cannot be replaced.
    for (const outer of [Error, AggregateError]) {
      const own = this.global[outer.name];
      Object.defineProperty(own, Symbol.hasInstance, {
        value(value) {
          return isInstance.call(this, value) || (this === own && value instanceof outer);
        },
      });
    }
  }
};
