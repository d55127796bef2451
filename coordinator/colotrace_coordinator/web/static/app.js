// The page starts here: the shell, and in it the view of the current route.
import { mount } from './core/html.js';
import { start, template } from './views/shell.js';

mount(document.getElementById('page'), template);
start();
