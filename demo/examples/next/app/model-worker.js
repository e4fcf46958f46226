import 'shishulm/worker';
