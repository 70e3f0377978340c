import { defineProcessTests } from '../faults/processes';

defineProcessTests({ fired: 3, killed: 1 });
