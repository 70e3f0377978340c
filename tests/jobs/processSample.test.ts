import { defineProcessTests } from '../faults/processTests';

defineProcessTests({ fired: 3, killed: 1 });
