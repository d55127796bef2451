// The page starts here: the shell, and in it the view of the current route.
import { mount } from './core/html.js';
import { start, template } from './views/shell.js';

const page = document.getElementById('page');
page.replaceChildren(); // What was shown until here.
mount(page, template);
start();
