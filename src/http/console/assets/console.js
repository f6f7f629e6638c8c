// Keeps the page current: fetches it anew and puts in what has changed. Says so when that fails.
'use strict';
const EVERY = 5000;
const offline = document.getElementById('offline');

async function refresh() {
  if (document.hidden) return;
  try {
    const response = await fetch(location.href, { headers: { Accept: 'text/html' }, redirect: 'manual', signal: AbortSignal.timeout(EVERY) });
    if (response.type === 'opaqueredirect') { location.reload(); return; }
    if (!response.ok) throw new Error(String(response.status));
    const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
    for (const part of document.querySelectorAll('[data-live]')) replace(part, fresh.getElementById(part.id));
    offline.hidden = true;
  } catch {
    offline.hidden = false;
  }
}

// Whoever stands on something with the keyboard keeps it.
function replace(part, fresh) {
  if (fresh && fresh.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) part.innerHTML = fresh.innerHTML;
}

setInterval(refresh, EVERY);
document.addEventListener('visibilitychange', refresh);
