import { defineProcessTests } from './processTests';

defineProcessTests({ fired: 100, killed: 10 });
