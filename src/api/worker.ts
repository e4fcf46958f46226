// The worker that `loadModel` with `worker` starts: the whole engine, served to the page.
import { loadModel } from '../engine/engine.ts';
import { hostModels } from './host.ts';
import type { Endpoint } from './rpc.ts';

hostModels(self as unknown as Endpoint, loadModel);
