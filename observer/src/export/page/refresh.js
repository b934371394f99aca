const button = document.getElementById("pause");
let paused = false;
button.hidden = false;
button.onclick = () => {
  paused = !paused;
  button.textContent = paused ? "Resume" : "Pause";
};
setInterval(async () => {
  if (paused || document.hidden || String(getSelection())) return;
  const state = document.getElementById("stale");
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const scrolled = [...document.querySelectorAll(".wide")].map((box) => box.scrollLeft);
    document.querySelector("main").replaceWith(page.querySelector("main"));
    document.querySelectorAll(".wide").forEach((box, place) => (box.scrollLeft = scrolled[place]));
    state.textContent = "";
  } catch {
    state.textContent = "The agent does not answer: what is shown is old.";
  }
}, 2000);
