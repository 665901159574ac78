"""From a sentence to objects and their prompts, by a language model behind OpenAI's interface."""

import logging
import random
from enum import Enum

import requests
from griptape.drivers.prompt.openai import OpenAiChatPromptDriver
from griptape.memory.structure import ConversationMemory
from griptape.rules import Rule
from griptape.structures import Agent

import config

logger = logging.getLogger(__name__)

# As they are when this is imported; a later change of config's does not reach them.
AGENT_MODEL = config.AGENT_MODEL
AGENT_BASE_URL = config.AGENT_BASE_URL

_KINDS = ("SCENE", "GREETING", "QUESTION", "GENERAL_CHAT")
_ADVICE = {
    "GREETING": "Good day; please describe a scene, such as a harbor at night.",
    "QUESTION": "Name a place, such as a harbor at night, and its objects are made.",
    "GENERAL_CHAT": "That is no place. Try a workshop, or a garden in autumn.",
}


class RuleType(Enum):
    PLANNING = "planning"
    PROMPT_GENERATION = "prompt_generation"
    INPUT_CLASSIFICATION = "input_classification"


class LLMAgent:
    def __init__(self):
        self.memory = ConversationMemory()
        self.agent = self._initialize_agent()
        self.is_generating_prompts = False
        self.health_check_url = f"{AGENT_BASE_URL}/health/ready"

    def _get_input_classification_rules(self):
        return [
            Rule("You are an input classifier: say of which kind the text of the user is."),
            Rule(f"Answer with one word of these alone: {', '.join(_KINDS)}."),
            Rule("SCENE is any place in which there can be things."),
        ]

    def _get_planning_rules(self):
        return [
            Rule("You propose things for a three-dimensional scene."),
            Rule(f"A scene has exactly {config.NUM_OF_OBJECTS} things, each in the singular."),
            Rule("Write one thing a line, with its number and a period before it."),
        ]

    def _get_prompt_generation_rules(self):
        return [
            Rule("You describe how a thing looks, for a program that paints it."),
            Rule("It stands alone in front of white."),
            Rule(f"Use at most {config.TWO_D_PROMPT_LENGTH} words."),
            Rule("Write the line 'Object: NAME', then the line 'Prompt: TEXT', and no more."),
        ]

    def _initialize_agent(self):
        driver = OpenAiChatPromptDriver(
            model=AGENT_MODEL,
            base_url=AGENT_BASE_URL,
            api_key="not-needed",
            user="user",
            temperature=config.LLM_TEMPERATURE,
            seed=random.randint(1, 999999) if config.LLM_RANDOM_SEED_ENABLED else None,
        )
        agent = Agent(prompt_driver=driver, rules=self._get_planning_rules())
        agent.memory = self.memory
        return agent

    def run(self, prompt, rule_type=RuleType.PLANNING):
        rules = {
            RuleType.PROMPT_GENERATION: self._get_prompt_generation_rules,
            RuleType.INPUT_CLASSIFICATION: self._get_input_classification_rules,
            RuleType.PLANNING: self._get_planning_rules,
        }
        self.agent.rules = rules[rule_type]()
        self.is_generating_prompts = rule_type == RuleType.PROMPT_GENERATION
        return self.agent.run(prompt)

    def check_agent_health(self):
        try:
            return requests.get(self.health_check_url, timeout=2).status_code == 200
        except requests.RequestException as error:
            logger.error(f"Health check failed: {error}")
            return False

    def clear_memory(self):
        self.memory = ConversationMemory()
        self.agent.memory = self.memory
        self.agent = self._initialize_agent()


class AgentService:
    def __init__(self):
        self.agent = None
        self._initialize_agent()

    def _initialize_agent(self):
        self.agent = LLMAgent()

    def is_healthy(self):
        return self.agent.check_agent_health()

    def classify_input(self, user_input):
        """Return the kind of a text, and advice if it is no scene. What is unclear is a scene, and
        so is everything while the model cannot be reached."""
        try:
            if not user_input.strip():
                return "EMPTY", "Describe a place first."
            response = self.agent.run(user_input, RuleType.INPUT_CLASSIFICATION)
            kind = response.output.value.strip().upper()
            if kind not in _KINDS:
                kind = "SCENE"
            return kind, _ADVICE.get(kind)
        except Exception as error:
            logger.error(f"Error classifying input: {error}")
            return "SCENE", None

    def generate_objects_for_scene(self, scene_description):
        """Return the names of the objects: none if anything fails, whatever it was."""
        try:
            count = config.NUM_OF_OBJECTS
            prompt = (
                f'The place is: "{scene_description}"\n\nName exactly {count} objects that stand'
                f" there, in this form:\n1. Thing\n2. Other Thing\n...\n{count}. Last Thing"
            )
            response = self.agent.run(prompt, RuleType.PLANNING)
            return self._parse_objects_from_response(response.output.value)
        except Exception as error:
            print(f"Error generating objects: {error}")
            return []

    def _parse_objects_from_response(self, response_text):
        numbers = tuple(f"{number}." for number in range(1, 21))
        lines = (line.strip() for line in response_text.split("\n"))
        names = (line.split(".", 1)[1].strip() for line in lines if line.startswith(numbers))
        return [name for name in names if name]

    def generate_objects_and_prompts(self, description):
        try:
            objects = self.generate_objects_for_scene(description)
            if not objects:
                return False, None, "No objects generated"
            prompts = {}
            for obj in objects:
                response = self.agent.run(
                    f"Generate visual prompt: {obj}", RuleType.PROMPT_GENERATION
                )
                text = response.output.value
                if "Object:" in text and "Prompt:" in text:
                    prompts[obj] = text.split("Prompt:")[-1].strip()
                else:
                    prompts[obj] = f"{obj}, alone in front of white"
            return True, prompts, "prompts generated"
        except Exception as error:
            return False, None, f"Error generating prompts: {error}"

    def clear_memory(self):
        self.agent.clear_memory()
        if config.LLM_RANDOM_SEED_ENABLED:
            changed = config.LLM_TEMPERATURE + random.uniform(-0.3, 0.3)
            self.agent.agent.prompt_driver = OpenAiChatPromptDriver(
                model=config.AGENT_MODEL,
                base_url=config.AGENT_BASE_URL,
                api_key="not-needed",
                user="user",
                temperature=max(0.1, min(1.0, changed)),
                seed=random.randint(1, 999999),
            )
        return True
