import { defineProcessTests } from './processes';

defineProcessTests({ fired: 100, killed: 10 });
